//! Averages and freezings that never begin, because the run ends before, reported before its first step.

use crate::data::Epochs;
use crate::notice::Notice;
use crate::train::config::{Config, Moment};

/// Returns warnings about the averages and the freezings that begin after the end of a run of `total` updates with these
/// epochs.
pub(in crate::train) fn notices(config: &Config, total: u64, epochs: &Epochs) -> Vec<Notice> {
    let at = |moment: &Moment| moment.in_steps(total, epochs);
    let (ema, swa) = (config.ema.as_ref().map(|ema| ema.start), config.swa.as_ref().map(|swa| swa.start));
    let averages = [("ema.start", ema), ("swa.start", swa)].into_iter();
    // An average of the weights after the last update has begun, if late.
    let averages =
        averages.filter_map(|(field, start)| Some((field.to_owned(), start.filter(|start| at(start) > total)?)));
    let averages = averages.map(|(field, start)| (field, start, "there will be no average"));
    let freezings = config.train.freeze.iter().enumerate().filter_map(|(index, freeze)| {
        let from = freeze.from.filter(|from| at(from) >= total)?;
        Some((format!("train.freeze[{index}].from"), from, "nothing will be frozen by it"))
    });
    let told = averages.chain(freezings).map(|(field, moment, effect)| {
        Notice::Warning(format!(
            "{field} = \"{moment}\" is after the last of the run's {total} steps, so {effect}; give an earlier time, or \
             remove it"
        ))
    });
    told.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(settings: &str) -> Vec<String> {
        let text = format!(
            "[data]\npath = \"rows.csv\"\n[model]\nkind = \"mlp\"\n[optimizer]\nkind = \"sgd\"\nlr = 0.1\n{settings}"
        );
        let table: toml::Table = text.parse().unwrap();
        let config: Config = serde_json::from_value(serde_json::to_value(table).unwrap()).unwrap();
        let told = notices(&config, 40, &Epochs::of_length(10));
        told.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_begins_after_the_last_step_is_named_and_what_begins_with_it_is_not() {
        for start in ["40 steps", "4 epochs", "100%"] {
            let settings = format!(
                "[train]\nsteps = 40\n[ema]\nstart = \"{start}\"\n[swa]\nstart = \"{start}\"\nevaluate = false\n"
            );
            assert_eq!(told(&settings), [""; 0], "{start}");
        }
        let late = "[train]\nsteps = 40\nfreeze = [{ parameters = [\"*\"] }, { parameters = [\"*\"], from = \"4 epochs\" }]\n\
                    [ema]\nstart = \"41 steps\"\n[swa]\nstart = \"5 epochs\"\nevaluate = false\n";
        let found = told(late);
        let expected = [
            "ema.start = \"41 steps\" is after the last of the run's 40 steps, so there will be no average",
            "swa.start = \"5 epochs\" is after the last of the run's 40 steps, so there will be no average",
            "train.freeze[1].from = \"4 epochs\" is after the last of the run's 40 steps, so nothing will be frozen by it",
        ];
        assert_eq!(found.len(), expected.len(), "{found:?}");
        assert!(found.iter().zip(expected).all(|(found, expected)| found.contains(expected)), "{found:?}");
    }
}
