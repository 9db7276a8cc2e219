//! `train sample`: text generation from prompts.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::Args;
use rekindle::data::DataError;
use rekindle::train::{Console, Sink};
use rekindle::trained::{Generated, Prompt, SampleOptions, Trained, TrainedError};

use crate::on_device::OnDevice;
use crate::which::Which;
use crate::write_out;

/// The prompt if none is given.
const NEW_LINE: &str = "\n";

/// Arguments of `train sample`.
#[derive(Args)]
#[command(after_help = "The text is the same every time for the same checkpoint, prompts, options and seed, with any \
                        number of threads. The run's data is not needed.")]
pub struct Sample {
    /// A run directory or a folder of checkpoints, whose newest is used, or one checkpoint.
    run: PathBuf,
    #[command(flatten)]
    which: Which,
    /// The beginning of the text, as it is; may be given again.
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    prompt: Vec<String>,
    /// A question, put into the form of the run's pairs or chats; may be given again.
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true, conflicts_with = "prompt")]
    ask: Vec<String>,
    /// A file with a prompt on each line: a JSON record like those of the run's data, whose answer is not used, or a
    /// JSON text, used as it is; `-` for stdin.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["prompt", "ask"])]
    prompts: Option<PathBuf>,
    /// Continue this number of prompts at the same time: faster, in more memory.
    #[arg(long, value_name = "N", default_value = "1")]
    batch: NonZeroUsize,
    /// Print a JSON object for each text: `prompt`, `text`, `tokens`, and `ended`, whether the model ended it.
    #[arg(long)]
    json: bool,
    /// Number of tokens to generate, at most.
    #[arg(long, value_name = "N", default_value_t = SampleOptions::default().tokens)]
    tokens: usize,
    /// Below 1 probable tokens become more probable, above 1 less; 0 always takes the most probable token.
    #[arg(long, value_name = "T", allow_negative_numbers = true, default_value = "1")]
    temperature: f64,
    /// Choose from this number of most probable tokens; by default from all.
    #[arg(long, value_name = "K")]
    top_k: Option<usize>,
    /// Seed of the choices: another seed gives another text.
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// Set the device: `device=cpu`.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    settings: Vec<String>,
    #[command(flatten)]
    device: OnDevice,
}

impl Sample {
    /// Returns the only prompt, if its text is printed as it comes.
    fn alone(&self) -> Option<&str> {
        match (&self.prompt[..], self.ask.is_empty() && self.prompts.is_none() && !self.json) {
            ([], true) => Some(NEW_LINE),
            ([prompt], true) => Some(prompt.as_str()),
            _ => None,
        }
    }

    /// Returns the prompts, read as they are needed.
    fn prompts(
        &self,
        trained: &Trained,
    ) -> Result<Box<dyn Iterator<Item = Result<Prompt, TrainedError>>>, TrainedError> {
        if let Some(path) = &self.prompts {
            let path = Some(path.as_path()).filter(|path| path.as_os_str() != "-");
            let unread = |error| match error {
                DataError::Read { path, source } => TrainedError::Prompts { path, source },
                error => error.into(),
            };
            let prompts = trained.prompt_form()?.read(path).map_err(unread)?;
            return Ok(Box::new(prompts.map(move |prompt| prompt.map_err(unread))));
        }
        let form = trained.prompt_form()?;
        let asked = self.ask.iter().map(|text| form.asked(text).map_err(|reason| TrainedError::Question { reason }));
        let mut all = asked.collect::<Result<Vec<_>, _>>()?;
        all.extend(self.prompt.iter().map(Prompt::as_is));
        if all.is_empty() {
            all.push(Prompt::as_is(NEW_LINE));
        }
        Ok(Box::new(all.into_iter().map(Ok)))
    }
}

/// Prints the prompt and the generated text as it comes; of several prompts, or with `--json`, each when it is complete.
pub fn sample(arguments: &Sample, console: &mut Console) -> Result<(), TrainedError> {
    let (trained, messages) = arguments.which.open(&arguments.run, &arguments.device.with(&arguments.settings)?)?;
    messages.iter().for_each(|message| console.message(message));
    let Sample { tokens, temperature, top_k, seed, .. } = *arguments;
    let options = SampleOptions { tokens, temperature, top_k, seed };
    match arguments.alone() {
        Some(prompt) => one(&trained, prompt, &options, console),
        None => several(&trained, arguments, &options, console),
    }
}

fn one(trained: &Trained, prompt: &str, options: &SampleOptions, console: &mut Console) -> Result<(), TrainedError> {
    let pieces = trained.sample(prompt, options)?;
    if pieces.unknown().count > 0 {
        console.message(&format!("warning: the prompt: {}", pieces.unknown()));
    }
    write_out(prompt)?;
    for piece in pieces {
        write_out(&piece?)?;
    }
    write_out("\n")
}

fn several(
    trained: &Trained,
    arguments: &Sample,
    options: &SampleOptions,
    console: &mut Console,
) -> Result<(), TrainedError> {
    let texts = trained.generate(arguments.prompts(trained)?, arguments.batch, options)?;
    for (number, text) in texts.enumerate() {
        let text = text?;
        if text.unknown.count > 0 {
            console.message(&format!("warning: prompt {}: {}", number + 1, text.unknown));
        }
        write_out(&shown(&text, number, arguments))?;
    }
    Ok(())
}

/// Returns the lines of a text: in JSON, after its prompt, or alone, if it answers a question or a record. Lines between
/// texts are empty.
fn shown(text: &Generated, number: usize, arguments: &Sample) -> String {
    if arguments.json {
        return format!("{}\n", serde_json::to_string(text).unwrap_or_default());
    }
    let between = if number > 0 { "\n" } else { "" };
    let prompt = if arguments.prompt.is_empty() { "" } else { &text.prompt };
    format!("{between}{prompt}{}\n", text.text)
}
