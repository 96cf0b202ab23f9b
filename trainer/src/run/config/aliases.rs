//! Names that keys had in earlier versions: read wherever a configuration is, written nowhere.

use anyhow::{Result, ensure};
use toml::{Table, Value};

/// Names of the same value.
struct Renamed {
    /// Its name in earlier versions.
    old: &'static str,
    /// Its name, or names, now.
    new: &'static [&'static str],
    /// Its values in earlier versions, and those now; empty where they are the same.
    values: &'static [(&'static str, &'static str)],
}

const fn renamed(old: &'static str, new: &'static [&'static str]) -> Renamed {
    Renamed { old, new, values: &[] }
}

/// Every key that was renamed. One that several strategies shared becomes a key of each.
const RENAMED: [Renamed; 18] = [
    Renamed {
        old: "controller.arena",
        new: &["controller.scored_on"],
        values: &[("real", "episodes"), ("dream", "dreams")],
    },
    renamed(
        "controller.directions",
        &["controller.pgpe.directions", "controller.ars.directions", "controller.openai_es.directions"],
    ),
    renamed("controller.sigma_learning_rate", &["controller.pgpe.sigma_learning_rate"]),
    renamed("controller.sigma_max_change", &["controller.pgpe.sigma_max_change"]),
    renamed("controller.max_speed", &["controller.pgpe.max_speed"]),
    renamed("controller.momentum", &["controller.pgpe.momentum"]),
    renamed("controller.population", &["controller.cma.population"]),
    renamed("controller.restarts", &["controller.cma.restarts"]),
    renamed("controller.top_directions", &["controller.ars.top_directions"]),
    renamed("controller.learning_rate", &["controller.ars.learning_rate", "controller.openai_es.learning_rate"]),
    renamed("controller.weight_decay", &["controller.openai_es.weight_decay"]),
    renamed("controller.support", &["controller.assist.force"]),
    renamed("controller.support_decay", &["controller.assist.decay"]),
    renamed("controller.support_length", &["controller.assist.min_length"]),
    renamed("controller.support_steps", &["controller.assist.max_steps"]),
    renamed("dream.check_every", &["dream.validate_every"]),
    renamed("dream.check_dreams", &["dream.validation_dreams"]),
    renamed("dream.check_episodes", &["dream.validation_episodes"]),
];

/// Puts every value of `table` that stands under an old name under its new ones.
///
/// # Errors
/// One line that says what to write: a value that the new key has not, or a table that has both names.
pub(super) fn translate(table: &mut Table) -> Result<()> {
    for Renamed { old, new, values } in &RENAMED {
        let (section, key) = old.split_once('.').unwrap_or((old, ""));
        let Some(value) = table.get_mut(section).and_then(Value::as_table_mut).and_then(|table| table.remove(key)) else {
            continue;
        };
        let value = match (values.iter().find(|(then, _)| value.as_str() == Some(then)), value) {
            (Some((_, now)), _) => Value::String((*now).into()),
            (None, value) if values.is_empty() || values.iter().any(|(_, now)| value.as_str() == Some(now)) => value,
            (None, value) => {
                let [then, now] = [0, 1].map(|i| values.iter().map(|v| [v.0, v.1][i]).collect::<Vec<_>>().join(" or "));
                anyhow::bail!("{old} = {value}: expected {then}; write {} = {now}", new.join(", "))
            }
        };
        for path in *new {
            ensure!(insert(table, path, value.clone()), "{old}: is now {path}, expected one of them, found both");
        }
    }
    Ok(())
}

/// Puts `value` at `path`, making the tables on the way; false where something is there.
fn insert(table: &mut Table, path: &str, value: Value) -> bool {
    match path.split_once('.') {
        None => table.insert(path.into(), value).is_none(),
        Some((section, rest)) => {
            let inner = table.entry(section).or_insert_with(|| Value::Table(Table::new()));
            inner.as_table_mut().is_some_and(|inner| insert(inner, rest, value))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Config, ScoredOn};
    use super::RENAMED;

    /// `config` with `key` = `value`, as `--set` has it.
    fn with(key: &str, value: &str) -> Config {
        Config::default().overlay("test", "", &[format!("{key}={value}")]).unwrap()
    }

    #[test]
    fn every_old_name_sets_its_new_ones() {
        for one in &RENAMED {
            let value = match one.old {
                "controller.arena" => "dream",
                old if old.contains("length") || old.contains("decay") || old.contains("momentum") => "0.25",
                "controller.restarts" => "2",
                _ => "7",
            };
            let found = match one.old {
                "controller.sigma_max_change" => with(one.old, "0.5"),
                old => with(old, value),
            };
            let value = match one.old {
                "controller.arena" => "dreams",
                "controller.sigma_max_change" => "0.5",
                _ => value,
            };
            let expected: Vec<String> = one.new.iter().map(|key| format!("{key}={value}")).collect();
            let expected = Config::default().overlay("test", "", &expected).unwrap();
            assert_ne!(found, Config::default(), "{}", one.old);
            assert_eq!(found, expected, "{}", one.old);
        }
    }

    #[test]
    fn a_recorded_configuration_of_an_earlier_version_is_compared_under_its_new_names() {
        let old = "[controller]\narena = \"real\"\ndirections = 40\nsupport = 0.0\n[dream]\ncheck_every = 10\n";
        assert_eq!(Config::default().first_difference(old, &[]).unwrap(), None);
        let other = "[controller]\nmax_speed = 0.5\n";
        let expected = ("controller.pgpe.max_speed".to_string(), "0.5".to_string(), "0.15".to_string());
        assert_eq!(Config::default().first_difference(other, &[]).unwrap(), Some(expected));
    }

    #[test]
    fn what_cannot_be_carried_over_says_what_to_write() {
        let error = |text: &str| format!("{:#}", Config::default().overlay("x.toml", text, &[]).unwrap_err());
        let found = error("[controller]\narena = \"moon\"\n");
        assert_eq!(
            found,
            "x.toml: controller.arena = \"moon\": expected real or dream; write controller.scored_on = episodes or dreams"
        );
        let found = error("[controller]\nmax_speed = 0.1\npgpe.max_speed = 0.2\n");
        assert_eq!(
            found,
            "x.toml: controller.max_speed: is now controller.pgpe.max_speed, expected one of them, found both"
        );
        let both = Config::default().overlay("x", "[controller]\narena = \"dreams\"\n", &[]).unwrap();
        assert_eq!(both.controller.scored_on, ScoredOn::Dreams, "the new value under the old name");
    }
}
