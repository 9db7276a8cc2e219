//! Trees of any form, with the keys that trainers write: no reader may stop the program or take long over one.

use proptest::prelude::*;

use super::testing::Maker;
use super::{Content, Found, READERS, survey};
use crate::peers::tree::{Object, Place, Value};

const KEYS: &[&str] = &[
    "state",
    "param_groups",
    "params",
    "param_names",
    "lr",
    "initial_lr",
    "betas",
    "eps",
    "weight_decay",
    "amsgrad",
    "momentum",
    "dampening",
    "nesterov",
    "step",
    "exp_avg",
    "exp_avg_sq",
    "last_epoch",
    "base_lrs",
    "_last_lr",
    "_schedulers",
    "_milestones",
    "milestones",
    "gamma",
    "T_max",
    "T_cur",
    "T_0",
    "eta_min",
    "lr_lambdas",
    "epoch",
    "global_step",
    "model",
    "optimizer",
    "scheduler",
    "0.weight",
    "n_averaged",
    "pytorch-lightning_version",
    "state_dict",
    "optimizer_states",
    "lr_schedulers",
    "loops",
    "fit_loop",
    "epoch_progress",
    "epoch_loop.batch_progress",
    "total",
    "current",
    "ready",
    "processed",
    "callbacks",
    "current_model_state",
    "averaging_state",
    "arch",
    "version",
    "args",
    "sched",
    "clip_grad",
    "state_dict_ema",
    "amp_scaler",
    "opt",
    "hypers",
    "items",
    "model_args",
    "iter_num",
    "config",
    "learning_rate",
    "min_lr",
    "warmup_iters",
    "lr_decay_iters",
    "trainer",
    "epoch_length",
    "max_epochs",
    "iteration",
    "event_index",
    "param_name",
    "durations",
    "schedulers",
    "_scheduler_index",
    "values",
    "cycle_size",
    "start_value",
    "end_value",
    "lr_scheduler",
    "scale",
    "growth_factor",
    "growth_interval",
    "backoff_factor",
];

/// Kind, key, and the values that it names, by their number modulo those there are.
type Node = (u8, f64, Vec<(usize, usize)>);

fn tree(nodes: &[Node]) -> Maker {
    let mut maker = Maker::default();
    let keys: Vec<Place> = KEYS.iter().map(|key| maker.text(key)).collect();
    let places: Vec<Place> = nodes.iter().map(|_| maker.int(0)).collect();
    let at = |index: usize| places[index % places.len()];
    for ((kind, number, inner), place) in nodes.iter().zip(&places) {
        let items: Vec<Place> = inner.iter().map(|(_, index)| at(*index)).collect();
        let entries: Vec<(Place, Place)> =
            inner.iter().map(|(key, index)| (keys[key % keys.len()], at(*index))).collect();
        let class = "torch.nn.modules.Linear".to_owned();
        let tensor = maker.tensor(&[inner.len()]);
        let tensor = maker.tree.at(tensor).value().clone();
        *maker.tree.at_mut(*place) = match kind % 10 {
            0 => Value::Int(*number as i64),
            1 => Value::Float(*number),
            2 => Value::List(items),
            3 => Value::Tuple(items),
            4 => Object { class, state: items.first().copied(), entries, ..Object::default() }.into(),
            5 => tensor,
            6 => Value::Null,
            _ => Value::Dict(entries),
        };
    }
    let root = places.last().copied();
    maker.tree.set_root(root.unwrap_or(keys[0]));
    maker
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn no_tree_stops_a_reader(
        nodes in prop::collection::vec(
            (any::<u8>(), prop::num::f64::ANY, prop::collection::vec((any::<usize>(), any::<usize>()), 0..8)),
            1..40,
        )
    ) {
        let maker = tree(&nodes);
        survey::Survey::of(maker.tree.root(), &[]);
        let found = Found { path: "x.pt".into(), content: Content::Torch { tree: maker.tree, format: "test" } };
        for reader in READERS {
            // A file that a reader does not recognize is no reason to stop either.
            let _ = (reader.recognizes)(&found);
            let _ = (reader.read)(&found);
        }
    }
}
