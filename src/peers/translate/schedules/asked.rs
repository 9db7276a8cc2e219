//! Trainers whose files do not hold the form of the schedule: the question says how to write it.

use super::Source;
use crate::peers::peer::Form;
use crate::peers::translate::Refusal;

/// Returns the question for a schedule whose form is not in the file.
pub(super) fn question(source: &Source<'_>) -> Refusal {
    let form = &source.schedule.form;
    if source.schedule.late > 0 {
        let late = source.schedule.late;
        let reason = format!(
            "the form of the schedule is not in the file; write it in the configuration inside late({late}, …), because update t uses its rate at t - {late} there, for example schedule = \"late({late}, warmup(100) -> cosine(900))\""
        );
        return Refusal::ask("schedule", reason);
    }
    unknown(form, source)
}

/// Returns the question for a form that is not known.
pub(super) fn unknown(form: &Form, source: &Source<'_>) -> Refusal {
    let how = "write `schedule` in the configuration, for example schedule = \"warmup(100) -> cosine(900)\"";
    if form.class == "unknown" || form.class.is_empty() {
        let at = source.schedule.at.map(|at| format!(" (it stands at {at})")).unwrap_or_default();
        return Refusal::ask("schedule", format!("its form is not in the file{at}; {how}"));
    }
    Refusal::ask("schedule", format!("`{}` is not translated; {how}", form.class))
}
