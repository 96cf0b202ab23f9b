//! The progress line: how far, how fast, how long still. On a terminal; nothing where stderr is not one.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// A progress line. Dropping it wipes it.
#[derive(Debug)]
pub struct Progress {
    bar: ProgressBar,
}

impl Progress {
    /// A line `label` that counts to `total` in `unit`s (plural).
    ///
    /// # Panics
    /// Never: the template is a constant.
    #[must_use]
    pub fn new(label: &str, total: u64, unit: &str) -> Self {
        let template =
            format!("{{prefix}} {{bar:30}} {{human_pos}}/{{human_len}} {unit}, {{per_sec}}, {{eta}} left {{msg}}");
        let style = ProgressStyle::with_template(&template).expect("the template is well formed");
        let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr());
        bar.set_style(style);
        bar.set_prefix(label.to_owned());
        Self { bar }
    }

    /// A line that never shows: for tests and for callers with a display of their own.
    #[must_use]
    pub fn hidden() -> Self {
        Self { bar: ProgressBar::hidden() }
    }

    /// Counts to `total` from now on; the place stays.
    pub fn set_total(&self, total: u64) {
        self.bar.set_length(total);
    }

    /// `done` units are done.
    pub fn set(&self, done: u64) {
        self.bar.set_position(done);
    }

    /// `n` more units are done.
    pub fn add(&self, n: u64) {
        self.bar.inc(n);
    }

    /// `done` units need no doing, because an earlier process did them: they count as progress, not as speed.
    pub fn resume_at(&self, done: u64) {
        self.bar.set_position(done);
        self.bar.reset_eta();
    }

    /// Shows `text` after the numbers.
    pub fn message(&self, text: impl Into<std::borrow::Cow<'static, str>>) {
        self.bar.set_message(text);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_template_is_well_formed_and_the_count_is_kept() {
        let progress = Progress::new("collect", 10, "steps");
        progress.resume_at(4);
        progress.add(1);
        progress.message("return 112");
        assert_eq!(progress.bar.position(), 5);
        progress.set_total(20);
        progress.set(7);
        assert_eq!((progress.bar.position(), progress.bar.length()), (7, Some(20)));
        assert!(Progress::hidden().bar.is_hidden());
    }
}
