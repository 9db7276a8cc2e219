//! A scheduler's constructor, as people have it in their Python code, as one of our schedules:
//! `OneCycleLR(optimizer, max_lr=0.1, total_steps=100)`.
//!
//! `call.rs` reads the constructor, `given.rs` sorts its arguments by the class's signature, and one file for each group
//! of packages lists the classes with what each of them does. Nothing is run, and only literals are read.

mod call;
mod class;
mod composer;
mod error;
mod frameworks;
mod fvcore;
mod given;
mod language_models;
mod libraries;
mod optax_keras;
mod others;
mod pieces;
mod speech;
mod timm;
mod torch;
mod transformers;

use super::Schedule;
use call::Call;
use class::{Class, Said};
use given::Given;

pub use error::LikeError;

/// A constructor in our terms.
#[derive(Clone, Debug)]
pub struct Like {
    /// The schedule.
    pub schedule: Schedule,
    /// The base rate of each group, if the constructor has it.
    pub base_lrs: Option<Vec<f64>>,
    /// The full name of the class or function that was read.
    pub class: String,
    /// Where ours differs, and what the constructor does not tell.
    pub notes: Vec<String>,
}

/// Reads the constructor of a scheduler of another library.
///
/// # Errors
/// The text is not a call with literals, the class is not known, or an argument is missing, unknown or of the wrong
/// type.
pub fn like(constructor: &str) -> Result<Like, LikeError> {
    let call = call::parse(constructor)?;
    let (class, said) = read(&call)?;
    let schedule = said.text.parse().map_err(|source| LikeError::Refused {
        class: class.name().to_owned(),
        text: said.text.clone(),
        source: Box::new(source),
    })?;
    let base_lrs = (!said.base_lrs.is_empty()).then_some(said.base_lrs);
    Ok(Like { schedule, base_lrs, class: class.path().to_owned(), notes: said.notes })
}

/// Returns the full names of all classes and functions that [`like`] reads, by package.
pub fn known_classes() -> Vec<&'static str> {
    classes().map(Class::path).collect()
}

fn classes() -> impl Iterator<Item = &'static Class> + Clone {
    let files = [
        torch::CLASSES,
        transformers::CLASSES,
        timm::CLASSES,
        optax_keras::CLASSES,
        frameworks::CLASSES,
        fvcore::CLASSES,
        libraries::CLASSES,
        composer::CLASSES,
        language_models::CLASSES,
        speech::CLASSES,
        others::CLASSES,
    ];
    files.into_iter().flatten()
}

/// Reads a call: finds its class, sorts its arguments, and says it in our terms.
fn read(call: &Call) -> Result<(&'static Class, Said), LikeError> {
    let (class, others) = find(&call.path)?;
    let given = Given::new(class, call)?;
    let mut said = (class.say)(&given)?;
    if !others.is_empty() {
        let also: Vec<String> = others.iter().map(|other| format!("`{}`", other.path())).collect();
        said.notes.push(format!("read as `{}`; there is {} too", class.path(), also.join(", ")));
    }
    Ok((class, said))
}

/// Finds the class with this name, which may lack the first parts of its path, and the others with the same name.
fn find(path: &str) -> Result<(&'static Class, Vec<&'static Class>), LikeError> {
    // `tf.keras.…` is the same as `keras.…`.
    let path = path.strip_prefix("tf.").or_else(|| path.strip_prefix("tensorflow.")).unwrap_or(path);
    let name = path.rsplit('.').next().unwrap_or(path);
    let same_name: Vec<&Class> = classes().filter(|class| class.name() == name).collect();
    let is_end = |class: &&&Class| class.path() == path || class.path().ends_with(&format!(".{path}"));
    let is_of_package = |class: &&&Class| path.contains('.') && path.split('.').next() == Some(class.package());
    let fitting: Vec<&Class> = same_name.iter().filter(is_end).copied().collect();
    let fitting = if fitting.is_empty() { same_name.iter().filter(is_of_package).copied().collect() } else { fitting };
    // A short name of a module, or an object, such as `lrs.StepLR` and `learn.fit_one_cycle`.
    let first = path.split('.').next().unwrap_or(path);
    let is_alias = path.contains('.') && classes().all(|class| class.package() != first);
    let fitting = if fitting.is_empty() && is_alias { same_name.clone() } else { fitting };
    match fitting.split_first() {
        Some((first, others)) => Ok((first, others.to_vec())),
        None => Err(LikeError::unknown(path, &same_name)),
    }
}
