//! ZeRO stages 1 and 2: the weights of a group are one flat tensor in f32, of which each process has a part with its
//! moments. `param_slice_mappings` says where in that part each parameter lies; one that two processes share has a piece
//! in each.
//!
//! Master weights are saved without the padding at the end, moments with it, so neither's length says anything about the
//! other's.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use super::super::torch_optimizer;
use super::config;
use super::made::Made;
use crate::peers::error::PeerError;
use crate::peers::formats::torch;
use crate::peers::peer::{Named, Peer};
use crate::peers::tensor::{Storage, Tensor};
use crate::peers::tree::{Ref, Tree, Value};

/// Ends of the names of the processes' files.
const END: &str = "_mp_rank_00_optim_states.pt";
const BEGINS: [&str; 2] = ["zero_pp_rank_", "bf16_zero_pp_rank_"];

/// Most processes of a run.
const MOST_RANKS: usize = 65_536;

/// Returns whether a folder has files of processes.
pub(super) fn are(names: &[String]) -> bool {
    names.iter().any(|name| rank(name).is_some())
}

fn rank(name: &str) -> Option<usize> {
    let begin = BEGINS.iter().find_map(|begin| name.strip_prefix(begin))?;
    begin.strip_suffix(END)?.parse().ok()
}

/// Names and shapes of the parameters of a group, in their order.
pub(super) type Shapes = Vec<(String, Vec<usize>)>;

/// One process' file.
struct Part {
    path: PathBuf,
    tree: Tree,
}

impl Part {
    fn state(&self) -> Result<Ref<'_>, PeerError> {
        let state = self.tree.root().get("optimizer_state_dict");
        state.ok_or_else(|| PeerError::damaged(&self.path, "it has no `optimizer_state_dict`"))
    }

    fn damaged(&self, what: impl Into<String>) -> PeerError {
        PeerError::damaged(&self.path, what)
    }

    /// Returns item `group` of a list in the state.
    fn item(&self, key: &str, group: usize) -> Result<Ref<'_>, PeerError> {
        let item = self.state()?.get(key).and_then(Ref::items).and_then(|mut items| items.nth(group));
        item.ok_or_else(|| self.damaged(format!("`{key}` has no group {group}")))
    }

    /// Returns the flat states of a group.
    fn states(&self, group: usize) -> Result<Ref<'_>, PeerError> {
        let missing = || self.damaged(format!("`base_optimizer_state` has no state of group {group}"));
        let base = self.state()?.get("base_optimizer_state").ok_or_else(missing)?;
        let groups = base.get("param_groups").and_then(Ref::items);
        let id = groups.and_then(|mut groups| groups.nth(group)).and_then(|group| group.get("params"));
        let id = id.and_then(Ref::items).and_then(|mut ids| ids.next()).and_then(Ref::int).ok_or_else(missing)?;
        let mut states = base.get("state").and_then(Ref::entries).ok_or_else(missing)?;
        states.find(|(key, _)| key.int() == Some(id)).map(|(_, state)| state).ok_or_else(missing)
    }
}

/// A piece of a parameter: the process that has it, and its place in that process' flat tensors.
struct Piece {
    rank: usize,
    start: usize,
    length: usize,
}

/// Reads the files of all processes into the optimizer of `peer`, and its master weights into the model.
///
/// # Errors
/// A file is missing or damaged, or the pieces of a parameter are not all of it.
pub(super) fn read(peer: &mut Peer, folder: &Path, names: &[String], model: Ref<'_>) -> Result<(), PeerError> {
    let parts = open(folder, names, model)?;
    let [first, ..] = &parts[..] else { return Ok(()) };
    if first.state()?.get("param_slice_mappings").is_none() {
        return Err(PeerError::unsupported(
            &first.path,
            "it does not say where each parameter lies (`param_slice_mappings`): a DeepSpeed before 0.8.1 wrote it. Load and save it with a newer one",
        ));
    }
    let shapes = shapes(folder, model)?;
    let mut made = Made::default();
    for (group, shapes) in shapes.iter().enumerate() {
        add_group(peer, &parts, group, shapes, &mut made)?;
    }
    let (tree, dict) = made.finish().map_err(|what| PeerError::damaged(folder, what))?;
    let index = torch_optimizer::add(peer, "base_optimizer_state", tree.at(dict))?;
    for parameter in
        peer.optimizers.get_mut(index).into_iter().flat_map(|it| &mut it.groups).flat_map(|it| &mut it.parameters)
    {
        parameter.name = Some(parameter.id.clone());
    }
    // On loading, this wins over the configuration.
    if let Some(most) = first.state()?.get("clip_grad").and_then(Ref::number) {
        peer.clipping = config::clipping(most);
    }
    config::loss_scale(peer, first.state()?.get("loss_scaler"));
    Ok(())
}

/// Opens the files of all processes; all must be there.
fn open(folder: &Path, names: &[String], model: Ref<'_>) -> Result<Vec<Part>, PeerError> {
    let mut files: Vec<(usize, &String)> = names.iter().filter_map(|name| Some((rank(name)?, name))).collect();
    files.sort_unstable();
    let ranks = model.get("dp_world_size").and_then(Ref::int).and_then(|ranks| usize::try_from(ranks).ok());
    let last = files.last().map_or(0, |(rank, _)| rank + 1);
    let ranks = ranks.unwrap_or(last);
    if ranks > MOST_RANKS || last > MOST_RANKS {
        return Err(PeerError::damaged(folder, format!("{} processes are more than any run has", ranks.max(last))));
    }
    let there: HashSet<usize> = files.iter().map(|(rank, _)| *rank).collect();
    if there.len() != files.len() {
        return Err(PeerError::damaged(folder, "a process has two files; the folder has files of two saves"));
    }
    if let Some(missing) = (0..ranks).find(|rank| !there.contains(rank)) {
        let what = format!(
            "the file of process {missing} (`…zero_pp_rank_{missing}{END}`) of {ranks} is missing; the save did not finish, or the file is on another machine"
        );
        return Err(PeerError::damaged(folder, what));
    }
    if last > ranks {
        return Err(PeerError::damaged(
            folder,
            format!("there is a file of process {}, and the run had {ranks}", last - 1),
        ));
    }
    let read = |(_, name): &(usize, &String)| {
        let path = folder.join(name);
        torch::read(&path).map(|(tree, _)| Part { path, tree })
    };
    files.iter().map(read).collect()
}

/// Returns names and shapes of each group, in the order of the groups' parameters.
fn shapes(folder: &Path, model: Ref<'_>) -> Result<Vec<Shapes>, PeerError> {
    let damaged =
        || PeerError::damaged(folder, "the model file has no names and shapes of the parameters (`param_shapes`)");
    let groups = model.get("param_shapes").and_then(Ref::items).ok_or_else(damaged)?;
    let length = |length: Ref<'_>| length.int().and_then(|length| usize::try_from(length).ok());
    let shape = |(name, shape): (Ref<'_>, Ref<'_>)| {
        Some((name.text()?.to_owned(), shape.items()?.map(length).collect::<Option<Vec<_>>>()?))
    };
    let group = |group: Ref<'_>| group.entries()?.map(shape).collect::<Option<Vec<_>>>();
    groups.map(group).collect::<Option<Vec<_>>>().ok_or_else(damaged)
}

/// Adds a group with the states of its parameters, and puts its master weights into the model.
fn add_group(peer: &mut Peer, parts: &[Part], group: usize, shapes: &Shapes, made: &mut Made) -> Result<(), PeerError> {
    let [first, ..] = parts else { return Ok(()) };
    let mut pieces = pieces(parts, group)?;
    let masters: Result<Vec<Ref<'_>>, PeerError> =
        parts.iter().map(|part| part.item("single_partition_of_fp32_groups", group)).collect();
    let masters = masters?;
    // A run that is saved before its first update has no state yet.
    let states: Vec<Option<Ref<'_>>> = parts.iter().map(|part| part.states(group).ok()).collect();
    let mut weights = HashMap::new();
    for (name, shape) in shapes {
        let own = pieces.remove(name.as_str()).unwrap_or_default();
        let whole = |what: &str, flats: &[Option<Ref<'_>>]| {
            together(flats, &own, shape)
                .map_err(|why| first.damaged(format!("{what} of `{name}` in group {group}: {why}")))
        };
        let flats: Vec<_> = masters.iter().copied().map(Some).collect();
        weights.insert(name.as_str(), whole("the weight", &flats)?);
        let keys = states.first().copied().flatten().and_then(Ref::entries).into_iter().flatten();
        let mut entries = Vec::new();
        for (key, value) in keys.filter_map(|(key, value)| Some((key.text()?, value))) {
            let is_flat = value.tensor().is_some_and(|tensor| !tensor.shape().is_empty()) && key != "step";
            let value = if is_flat {
                let flats: Vec<_> = states.iter().map(|state| state.and_then(|state| state.get(key))).collect();
                Value::from(whole(key, &flats)?)
            } else {
                value.value().clone()
            };
            let is_plain =
                matches!(value, Value::Null | Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::Tensor(_));
            if is_plain {
                entries.push((key, value));
            }
        }
        made.add_state(name, entries).map_err(|what| first.damaged(what))?;
    }
    if let Some(name) = pieces.keys().next() {
        return Err(first.damaged(format!("`{name}` in group {group} is not in the `param_shapes` of the model file")));
    }
    for named in &mut peer.model.tensors {
        if let Some(tensor) = weights.remove(named.name.as_str()) {
            named.tensor = tensor;
        }
    }
    for (name, _) in shapes {
        if let Some(tensor) = weights.remove(name.as_str()) {
            peer.model.tensors.push(Named::new(name, tensor));
        }
    }
    let settings = (first.state()?.at(&["base_optimizer_state", "param_groups"]))
        .and_then(Ref::items)
        .and_then(|mut groups| groups.nth(group))
        .ok_or_else(|| first.damaged(format!("`param_groups` has no group {group}")))?;
    made.add_settings(settings, shapes).map_err(|what| first.damaged(what))
}

/// Returns the pieces of each parameter of a group, in the order of the processes.
fn pieces(parts: &[Part], group: usize) -> Result<HashMap<&str, Vec<Piece>>, PeerError> {
    let mut pieces: HashMap<&str, Vec<Piece>> = HashMap::new();
    for (rank, part) in parts.iter().enumerate() {
        let mapping = part.item("param_slice_mappings", group)?.entries();
        let mapping = mapping.ok_or_else(|| part.damaged(format!("the mapping of group {group} is no dict")))?;
        let stored = part.item("single_partition_of_fp32_groups", group)?.tensor().map_or(0, Tensor::elements);
        let mut taken = 0usize;
        for (name, address) in mapping {
            let number =
                |key: &str| address.get(key).and_then(Ref::int).and_then(|number| usize::try_from(number).ok());
            let (Some(name), Some(start), Some(length)) = (name.text(), number("start"), number("numel")) else {
                return Err(
                    part.damaged(format!("an address in the mapping of group {group} has no `start` and `numel`"))
                );
            };
            // Pieces do not overlap, so that all of them together are no more than what is stored.
            taken = taken.saturating_add(length);
            if taken > stored {
                return Err(part.damaged(format!("the pieces of group {group} are more than its {stored} numbers")));
            }
            pieces.entry(name).or_default().push(Piece { rank, start, length });
        }
    }
    Ok(pieces)
}

/// Puts the pieces of a parameter together; one that is in a single process stays a view of the file.
fn together(flats: &[Option<Ref<'_>>], pieces: &[Piece], shape: &[usize]) -> Result<Tensor, String> {
    let elements = shape.iter().try_fold(1usize, |product, length| product.checked_mul(*length));
    let there = pieces.iter().try_fold(0usize, |sum, piece| sum.checked_add(piece.length));
    if there.is_none() || there != elements {
        return Err(format!("its pieces have {} numbers, and its shape is {shape:?}", there.unwrap_or(usize::MAX)));
    }
    let cut = |piece: &Piece, shape: &[usize]| {
        let flat = flats.get(piece.rank).copied().flatten().and_then(Ref::tensor);
        flat.ok_or_else(|| format!("process {} has no tensor of it", piece.rank))?.cut(piece.start, shape)
    };
    if let [only] = pieces {
        return cut(only, shape);
    }
    let cuts: Result<Vec<Tensor>, String> = pieces.iter().map(|piece| cut(piece, &[piece.length])).collect();
    let cuts = cuts?;
    let dtype = cuts.first().map(Tensor::dtype).ok_or("no process has a piece of it")?;
    if cuts.iter().any(|cut| cut.dtype() != dtype) {
        return Err("its pieces have different dtypes".to_owned());
    }
    let mut bytes = Vec::new();
    for cut in &cuts {
        bytes.extend_from_slice(&cut.to_bytes()?);
    }
    Tensor::contiguous(dtype, shape.to_vec(), Storage::owned(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peers::trainers::testing::Maker;
    use crate::peers::tree::Place;

    fn flat(maker: &mut Maker, numbers: &[f32]) -> Place {
        maker.add(Tensor::from_f32(&[numbers.len()], numbers).unwrap().into())
    }

    #[test]
    fn a_parameter_of_two_processes_is_put_together() {
        let mut maker = Maker::default();
        let places = [flat(&mut maker, &[0., 1., 2., 3., 4.]), flat(&mut maker, &[5., 6., 7., 0., 0.])];
        let flats = places.map(|place| Some(maker.tree.at(place)));
        let piece = |rank, start, length| Piece { rank, start, length };
        let whole = together(&flats, &[piece(0, 0, 4)], &[2, 2]).unwrap();
        assert_eq!((whole.shape(), whole.to_f32().unwrap()), (&[2, 2][..], vec![0., 1., 2., 3.]));
        let shared = together(&flats, &[piece(0, 4, 1), piece(1, 0, 3)], &[4]).unwrap();
        assert_eq!(shared.to_f32().unwrap(), [4., 5., 6., 7.]);
        assert!(together(&flats, &[piece(0, 4, 1)], &[4]).unwrap_err().contains("its pieces have 1 numbers"));
        assert!(together(&flats, &[piece(1, 4, 2)], &[2]).unwrap_err().contains("beyond"));
        assert!(together(&[None], &[piece(0, 0, 2)], &[2]).unwrap_err().contains("process 0 has no tensor"));
        assert!(together(&flats, &[piece(0, 0, usize::MAX), piece(0, 0, 2)], &[1]).is_err());
    }
}
