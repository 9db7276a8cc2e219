//! The zip of `torch.save`: a folder with `data.pkl`, and each storage as a member `data/KEY`.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use memmap2::Mmap;

use super::super::super::tensor::Storage;
use super::super::super::tree::Tree;
use super::super::pickle::{self, Refusal, Storages, Wanted};
use super::super::zip::Archive;

/// Returns whether an archive has the pickle that makes it one of PyTorch.
pub(super) fn has_pickle(names: &[String]) -> bool {
    folder(names.iter().map(String::as_str)).is_some()
}

/// Returns the folder, with its slash, that holds `data.pkl`. Its name is that of the file when it was saved.
fn folder<'a>(names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let folders = names.filter_map(|name| name.strip_suffix("data.pkl"));
    folders.filter(|folder| folder.is_empty() || folder.ends_with('/')).min_by_key(|folder| folder.len())
}

/// Reads the archive `within` a mapped file.
pub(super) fn read(map: Arc<Mmap>, within: Range<usize>) -> Result<Tree, Refusal> {
    let archive = Archive::open(map, within)?;
    let folder = folder(archive.members().iter().map(|member| member.name.as_str()));
    let folder =
        folder.ok_or_else(|| Refusal::Unsupported("a zip without `data.pkl`, so not of PyTorch".to_owned()))?;
    let folder = folder.to_owned();
    if archive.member(&format!("{folder}constants.pkl")).is_some() {
        return Err(Refusal::Unsupported(
            "a program of TorchScript, not a checkpoint; save the model's `state_dict()`".to_owned(),
        ));
    }
    if let Some(order) = archive.member(&format!("{folder}byteorder"))
        && archive.bytes(order) != b"little"
    {
        return Err(Refusal::Unsupported(format!(
            "its numbers are in {}-endian order; load and save it with PyTorch on a little-endian machine",
            String::from_utf8_lossy(archive.bytes(order)).chars().take(20).collect::<String>()
        )));
    }
    let name = format!("{folder}data.pkl");
    let member = archive.member(&name).cloned();
    let member = member.ok_or_else(|| Refusal::Damaged(format!("the member {name:?} is missing")))?;
    let mut members = Members { archive: &archive, folder: &folder, found: HashMap::new() };
    let (tree, _) = pickle::read(archive.bytes(&member), &mut members).map_err(|refusal| refusal.within(&name))?;
    Ok(tree)
}

/// Storages that are members of an archive. Each is made once, so that tensors that share one are known by it.
struct Members<'a> {
    archive: &'a Archive,
    folder: &'a str,
    found: HashMap<String, Arc<Storage>>,
}

impl Storages for Members<'_> {
    fn storage(&mut self, wanted: Wanted<'_>) -> Result<Option<Arc<Storage>>, Refusal> {
        let name = format!("{}data/{}", self.folder, wanted.key);
        let bytes = wanted.elements.checked_mul(wanted.element_bytes);
        let storage = match self.found.get(wanted.key) {
            Some(storage) => Arc::clone(storage),
            None => {
                let member = self.archive.member(&name);
                let member = member.ok_or_else(|| Refusal::Damaged(format!("the storage {name:?} is missing")))?;
                let storage = Storage::mapped(Arc::clone(self.archive.map()), member.range.clone());
                let storage = storage.ok_or_else(|| Refusal::Damaged(format!("the storage {name:?} is cut off")))?;
                self.found.insert(wanted.key.to_owned(), Arc::clone(&storage));
                storage
            }
        };
        if bytes != Some(storage.bytes().len()) {
            return Err(Refusal::Damaged(format!(
                "the storage {name:?} has {} bytes, and {} elements of {} bytes are expected",
                storage.bytes().len(),
                wanted.elements,
                wanted.element_bytes
            )));
        }
        Ok(Some(storage))
    }
}
