//! What foreign data are of, where `[env.recorded]` does not say: sizes, names and ranges, as a hint of what it might say.

use serde::Deserialize;

/// Sizes and ranges.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub(super) struct Contents {
    /// Name and size of each part of an observation.
    pub observation: Vec<(String, usize)>,
    /// Height, width and channels, where an observation is a picture.
    #[serde(default)]
    pub image: Option<[usize; 3]>,
    /// Size, least and most of each part of an action; none where they have no bounds.
    #[serde(default)]
    pub action: Vec<(usize, Option<f64>, Option<f64>)>,
    /// Or of how many choices it is one.
    #[serde(default)]
    pub choices: usize,
    /// Steps after which an episode was cut; 0 where it is not said.
    #[serde(default)]
    pub time_limit: u32,
}

impl Contents {
    /// Takes in those of more data of the same sizes; of others nothing.
    pub(super) fn add(&mut self, more: Self) {
        if self.observation.is_empty() {
            *self = more;
            return;
        }
        self.choices = self.choices.max(more.choices);
        self.time_limit = self.time_limit.max(more.time_limit);
        for (range, more) in self.action.iter_mut().zip(more.action) {
            let bound = |a: Option<f64>, b: Option<f64>, of: fn(f64, f64) -> f64| Some(of(a?, b?));
            (range.1, range.2) = (bound(range.1, more.1, f64::min), bound(range.2, more.2, f64::max));
        }
    }

    /// The options that would say so.
    pub(super) fn options(&self) -> String {
        let parts: Vec<_> =
            self.observation.iter().map(|(name, size)| format!("{{ name = {name:?}, size = {size} }}")).collect();
        let bound = |bound: Option<f64>| bound.map_or("?".into(), |bound| format!("{bound:?}"));
        let range = |(size, low, high): &(usize, Option<f64>, Option<f64>)| {
            format!("{{ size = {size}, low = {}, high = {} }}", bound(*low), bound(*high))
        };
        let ranges: Vec<_> = self.action.iter().map(range).collect();
        let mut text = match self.image {
            Some([height, width, channels]) => format!("--set env.recorded.image=[{height},{width},{channels}]"),
            None => format!("--set 'env.recorded.observation=[{}]'", parts.join(", ")),
        };
        text += &match self.choices {
            0 => format!(" --set 'env.recorded.action=[{}]'", ranges.join(", ")),
            choices => format!(" --set env.recorded.choices={choices}"),
        };
        if self.time_limit > 0 {
            text += &format!(" --set env.time_limit={}", self.time_limit);
        }
        text
    }
}
