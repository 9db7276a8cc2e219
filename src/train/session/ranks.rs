//! Requirements on the configuration and the model of a run in several processes.

use crate::data::{Data, Share};
use crate::distributed::Communicator;
use crate::model::Model;
use crate::train::TrainError;
use crate::train::config::Config;

/// Refuses a run that several processes cannot compute together.
pub(super) fn check(communicator: &dyn Communicator, config: &Config, model: &dyn Model) -> Result<(), TrainError> {
    let (world, pieces) = (communicator.world(), config.train.accumulate.unwrap_or(1));
    let wrong =
        |field: &str, value: String, rule: String| Err(TrainError::Field { field: field.to_owned(), value, rule });
    if world > pieces {
        let rule = format!("each of the {world} processes computes a piece of every batch; must be at least {world}");
        return wrong("train.accumulate", pieces.to_string(), rule);
    }
    if world > 1
        && let Some((name, _)) = model.buffers().iter().next()
    {
        let rule = format!(
            "has running statistics (`{name}`), which would be other ones in each of the {world} processes; train it in \
             one process, or choose a model without batch norm"
        );
        return wrong("model.kind", config.model.kind().to_owned(), rule);
    }
    Ok(())
}

/// Returns the data of a process, which gathers only the rows that this one needs.
pub(super) fn shared(data: Data, communicator: &dyn Communicator, config: &Config) -> Result<Data, TrainError> {
    let (rank, world) = (communicator.rank(), communicator.world());
    if world == 1 {
        return Ok(data);
    }
    Ok(data.shared(Share { pieces: config.train.accumulate.unwrap_or(1), rank, world })?)
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device, Tensor, Var};

    use super::*;
    use crate::distributed::{CommunicatorError, Message, SingleProcess};
    use crate::model::Mode;
    use crate::parameters::Parameters;

    /// One of two processes, connected to none.
    struct OneOfTwo;

    impl Communicator for OneOfTwo {
        fn rank(&self) -> usize {
            0
        }

        fn world(&self) -> usize {
            2
        }

        fn all_to_all(&self, _: Message, _: &[usize], _: &[usize]) -> Result<Message, CommunicatorError> {
            Err("there is no other".into())
        }

        fn all_gather(&self, _: Message, _: &[usize]) -> Result<Message, CommunicatorError> {
            Err("there is no other".into())
        }
    }

    /// A model with running statistics, or without.
    struct Remembering(Parameters, bool);

    impl Model for Remembering {
        fn forward(&self, inputs: &Tensor, _: Mode<'_>) -> candle_core::Result<Tensor> {
            Ok(inputs.clone())
        }

        fn parameters(&self) -> &Parameters {
            &self.0
        }

        fn buffers(&self) -> Parameters {
            let buffer = || Var::zeros(1, DType::F32, &Device::Cpu).unwrap();
            self.1.then(|| ("norm.running_mean".to_owned(), buffer())).into_iter().collect()
        }
    }

    #[test]
    fn running_statistics_are_refused_in_several_processes() {
        let text = "data = { path = 'x.csv' }\nmodel = { kind = 'mlp' }\noptimizer = { kind = 'sgd', lr = 1.0 }\n\
                    schedule = 'constant'\ntrain = { steps = 1, accumulate = 2 }";
        let config: Config = toml::from_str(text).unwrap();
        let checked = |has_buffers| check(&OneOfTwo, &config, &Remembering(Parameters::new(), has_buffers));
        assert!(checked(false).is_ok());
        let message = checked(true).unwrap_err().to_string();
        assert!(message.starts_with("model.kind = mlp: has running statistics (`norm.running_mean`)"), "{message}");
        assert!(check(&SingleProcess, &config, &Remembering(Parameters::new(), true)).is_ok());
    }
}
