//! Checksums of a checkpoint: the members of zips, the nodes of OCDBT, and the parts of a distributed checkpoint have them;
//! other formats have none, which is said. Nothing else of a file is judged here.

use std::fs;
use std::path::{Path, PathBuf};

use super::error::PeerError;
use super::formats::ocdbt::{self, Ocdbt};
use super::formats::zip::Archive;
use super::formats::{dcp, map};

/// Folders in each other that are walked through.
const DEEPEST: usize = 32;
/// Files that are looked at.
const MOST_FILES: usize = 1 << 20;

/// The outcome for a checkpoint.
#[derive(Clone, Debug, Default)]
pub struct Verified {
    /// Files and databases, in the order of their names.
    pub files: Vec<VerifiedFile>,
}

/// The outcome for a file, or for a database in a folder.
#[derive(Clone, Debug)]
pub struct VerifiedFile {
    /// The file, or the database's folder.
    pub path: PathBuf,
    /// Parts whose checksums were compared.
    pub checked: usize,
    /// Parts that have no checksum; a file without any is one part.
    pub without: usize,
    /// Parts that do not match, each in a sentence that names it.
    pub bad: Vec<String>,
}

impl Verified {
    /// Returns the number of parts whose checksums were compared.
    pub fn checked(&self) -> usize {
        self.files.iter().map(|file| file.checked).sum()
    }

    /// Returns the number of parts without a checksum.
    pub fn without(&self) -> usize {
        self.files.iter().map(|file| file.without).sum()
    }

    /// Returns what does not match, with the file.
    pub fn bad(&self) -> impl Iterator<Item = (&Path, &str)> {
        self.files.iter().flat_map(|file| file.bad.iter().map(|what| (file.path.as_path(), what.as_str())))
    }

    /// Returns whether everything that was compared matches.
    pub fn is_good(&self) -> bool {
        self.files.iter().all(|file| file.bad.is_empty())
    }
}

/// Compares all checksums of a file, or of the files in a folder. This reads them whole.
///
/// # Errors
/// Something cannot be read, or there are too many files. A checksum that does not match is no error here.
pub fn verify(path: &Path) -> Result<Verified, PeerError> {
    let mut verified = Verified::default();
    let metadata = fs::metadata(path).map_err(|error| PeerError::io(path, error))?;
    if metadata.is_dir() {
        folder(path, 0, &mut verified)?;
    } else {
        verified.files.push(file(path)?);
    }
    Ok(verified)
}

fn folder(path: &Path, depth: usize, verified: &mut Verified) -> Result<(), PeerError> {
    let error = |error| PeerError::io(path, error);
    let entries = fs::read_dir(path).map_err(error)?;
    let mut names: Vec<String> = entries
        .map(|entry| Ok(entry.map_err(error)?.file_name().to_string_lossy().into_owned()))
        .collect::<Result<_, _>>()?;
    names.sort_unstable();
    if depth > DEEPEST || verified.files.len() + names.len() > MOST_FILES {
        return Err(PeerError::unsupported(path, "there are too many files in it, or they are too deep in folders"));
    }
    if dcp::is(&names) {
        verified.files.extend(distributed(path)?);
        return Ok(());
    }
    let is_database = names.iter().any(|name| name == ocdbt::MANIFEST);
    if is_database {
        verified.files.push(database(path)?);
    }
    for name in names {
        let place = path.join(&name);
        let Ok(metadata) = fs::symlink_metadata(&place) else { continue };
        // The data files of a database are its nodes and values.
        let of_database = is_database && (name == ocdbt::MANIFEST || name == "d");
        if metadata.is_dir() && !of_database {
            folder(&place, depth + 1, verified)?;
        } else if metadata.is_file() && !of_database {
            verified.files.push(file(&place)?);
        }
    }
    Ok(())
}

fn file(path: &Path) -> Result<VerifiedFile, PeerError> {
    let mut verified = VerifiedFile { path: path.to_owned(), checked: 0, without: 0, bad: Vec::new() };
    let file = map(path)?;
    if !file.starts_with(b"PK\x03\x04") {
        verified.without = 1;
        return Ok(verified);
    }
    let whole = 0..file.len();
    match Archive::open(file, whole).map_err(|refusal| refusal.at(path)) {
        Ok(archive) => {
            verified.checked = archive.members().len();
            let changed = archive.members().iter().filter(|member| !archive.has_its_sum(member));
            verified.bad.extend(
                changed.map(|member| format!("the content of {} was changed: its sum is another", member.name)),
            );
        }
        Err(error) => verified.bad.push(reason(error)?),
    }
    Ok(verified)
}

fn database(path: &Path) -> Result<VerifiedFile, PeerError> {
    let mut verified = VerifiedFile { path: path.to_owned(), checked: 0, without: 0, bad: Vec::new() };
    match Ocdbt::open(path) {
        Ok(database) => {
            verified.checked = database.checked();
            for key in database.keys() {
                verified.without += 1;
                // Values have no sums, but must be there.
                if let Err(error) = database.get(key) {
                    verified.bad.push(format!("the value of {key}: {error}"));
                }
            }
        }
        Err(error) => verified.bad.push(reason(error)?),
    }
    Ok(verified)
}

fn distributed(path: &Path) -> Result<Vec<VerifiedFile>, PeerError> {
    let file = |path: PathBuf, checked: usize, bad| VerifiedFile { path, checked, without: 0, bad };
    match dcp::verify(path) {
        Ok(files) => Ok(files.into_iter().map(|(path, checked)| file(path, checked, Vec::new())).collect()),
        Err(error) => Ok(vec![file(path.to_owned(), 0, vec![reason(error)?])]),
    }
}

/// Returns why a file is bad; what the system refuses stays an error, but for a file that should be there.
fn reason(error: PeerError) -> Result<String, PeerError> {
    match &error {
        PeerError::Io { source, .. } if source.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => Ok(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CASES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/peers/cases");

    fn of(path: &str) -> Verified {
        verify(format!("{CASES}/{path}").as_ref()).unwrap()
    }

    #[test]
    fn members_nodes_and_parts_are_counted_and_others_have_no_sum() {
        let counts = |path| (of(path).checked(), of(path).without(), of(path).is_good());
        assert_eq!(counts("keras/adam_number_named/model.keras"), (3, 0, true));
        assert_eq!(counts("keras/adam_number_named/model.weights.h5"), (0, 1, true));
        assert_eq!(counts("flax/sgd_cosine/state.msgpack"), (0, 1, true));
        let orbax = of("orbax/adamw_warmup_cosine/10");
        // The database of the step and that of its process, each with a manifest and at least one node.
        let databases = orbax.files.iter().filter(|file| file.checked > 1);
        assert!(databases.count() == 2 && orbax.is_good() && orbax.without() > 30);
        assert!(of("dcp/named_adamw_groups").checked() > 0);
    }

    #[test]
    fn a_changed_byte_is_found_and_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.keras");
        let mut bytes = fs::read(format!("{CASES}/keras/adam_number_named/model.keras")).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(&path, bytes).unwrap();
        let verified = verify(folder.path()).unwrap();
        let bad: Vec<_> = verified.bad().collect();
        assert_eq!(bad, [(path.as_path(), "the content of model.weights.h5 was changed: its sum is another")]);
    }

    #[test]
    fn a_changed_number_of_a_distributed_checkpoint_is_named_by_its_key() {
        let folder = tempfile::tempdir().unwrap();
        let case = format!("{CASES}/dcp/named_adamw_groups");
        for name in [".metadata", "__0_0.distcp"] {
            fs::copy(format!("{case}/{name}"), folder.path().join(name)).unwrap();
        }
        let file = folder.path().join("__0_0.distcp");
        let mut bytes = fs::read(&file).unwrap();
        let rate = memchr::memmem::find(&bytes, &0.007525000000000001f64.to_be_bytes()).unwrap();
        bytes[rate + 7] ^= 1;
        fs::write(&file, bytes).unwrap();
        let verified = verify(folder.path()).unwrap();
        let bad: Vec<_> = verified.bad().collect();
        assert!(bad.len() == 1 && bad[0].1.contains("optim.param_groups.0.lr"), "{bad:?}");
    }

    #[test]
    fn a_database_with_a_changed_node_or_without_a_file_is_bad() {
        let case = format!("{CASES}/orbax/adamw_warmup_cosine/10/state");
        let folder = tempfile::tempdir().unwrap();
        fs::copy(format!("{case}/manifest.ocdbt"), folder.path().join("manifest.ocdbt")).unwrap();
        fs::create_dir(folder.path().join("d")).unwrap();
        let bad = |folder: &Path| {
            verify(folder).unwrap().bad().map(|(_, what)| what.to_owned()).collect::<Vec<_>>().join("; ")
        };
        assert!(bad(folder.path()).contains("No such file"));
        let node = "d/bdec1fe05ca555f30308f51cb00138fb";
        let mut bytes = fs::read(format!("{case}/{node}")).unwrap();
        fs::write(folder.path().join(node), &bytes).unwrap();
        // The node is right, and the values that it names are not there.
        assert!(bad(folder.path()).contains("the value of opt_state.0.mu.layers_0.kernel/0.0"));
        bytes[100] ^= 1;
        fs::write(folder.path().join(node), &bytes).unwrap();
        assert!(bad(folder.path()).contains("does not match its CRC-32C"));
    }
}
