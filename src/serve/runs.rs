//! The runs that are served: those that were given, and those in the folders that were given. They are found again while
//! the server runs, and each has an identifier; a request names runs by these alone, never by a path.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::error::ServeError;
use crate::checkpoint::step_of;
use crate::{shell, store};

/// How many folders deep runs are searched for: `runs/sweep/lr-0.1/1`.
const DEPTH: usize = 4;

/// Number of directories that are looked into, and of runs that are listed.
const MOST: usize = 5000;

/// How long what was found counts.
const FRESH: Duration = Duration::from_secs(3);

/// A run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// Its identifier: a hash of its path, so that an open page finds its runs after the server has started again.
    pub id: String,
    /// Its name: its path in the folder that was given.
    pub name: String,
    /// Its directory.
    pub path: PathBuf,
}

/// A path that was given, and all that is served from there.
#[derive(Debug)]
struct Root {
    given: PathBuf,
    /// Without links.
    real: PathBuf,
}

/// The runs at one moment.
#[derive(Debug, Default)]
pub struct Found {
    /// The runs by their identifiers.
    pub runs: BTreeMap<String, Run>,
    /// Whether there are more than are looked for.
    pub is_cut: bool,
    at: Option<Instant>,
}

/// Finds the runs.
#[derive(Debug)]
pub struct Catalogue {
    roots: Vec<Root>,
    found: Mutex<Arc<Found>>,
}

impl Catalogue {
    /// Serves the runs at these paths, each a run or a folder with runs.
    pub fn of(given: &[PathBuf]) -> Result<Self, ServeError> {
        let roots = given.iter().map(|path| Root::of(path)).collect::<Result<_, _>>()?;
        Ok(Self { roots, found: Mutex::default() })
    }

    /// Returns the runs, as they were seconds ago at most.
    pub fn runs(&self) -> Arc<Found> {
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        if found.at.is_none_or(|at| at.elapsed() > FRESH) {
            *found = Arc::new(self.search());
        }
        Arc::clone(&found)
    }

    /// Returns the run, if a run was given and nothing else.
    pub fn only_run(&self) -> Option<Run> {
        match &self.roots[..] {
            [root] if is_run(&root.real) => self.runs().runs.values().next().cloned(),
            _ => None,
        }
    }

    /// Says what a link of a run leads to, if that is outside of all that is served.
    pub fn link_out(&self, run: &Run) -> Option<String> {
        let leads_out = |path: &Path| {
            let is_link = path.symlink_metadata().is_ok_and(|found| found.is_symlink());
            let is_inside = || {
                let real = path.canonicalize();
                real.is_ok_and(|real| self.roots.iter().any(|root| real.starts_with(&root.real)))
            };
            is_link && !is_inside()
        };
        if run.path.canonicalize().is_ok_and(|real| real != run.path) {
            return Some("is a link by now, and is not followed".to_owned());
        }
        let checkpoints = run.path.join("checkpoints");
        let files =
            ["config.toml", "log.jsonl", "timing.jsonl", "outcome.json", "lock"].map(|name| run.path.join(name));
        let saved = (!leads_out(&checkpoints)).then(|| entries(&checkpoints)).into_iter().flatten();
        let link = files.into_iter().chain([checkpoints.clone()]).chain(saved).find(|path| leads_out(path))?;
        let name = link.strip_prefix(&run.path).unwrap_or(&link).display();
        Some(format!(
            "{name} is a link that leads out of the folder, and is not followed; give the folder it leads to too"
        ))
    }

    fn search(&self) -> Found {
        let (mut runs, mut left) = (Vec::new(), MOST);
        for root in &self.roots {
            collect(root, &root.real, DEPTH, &mut left, &mut runs);
        }
        let names: Vec<String> = runs.iter().map(|(root, path)| root.name_of(path)).collect();
        let is_unique = |name: &str| names.iter().filter(|other| *other == name).count() == 1;
        let named = runs.iter().zip(&names).map(|((root, path), name)| {
            let name = if is_unique(name) { name.clone() } else { root.long_name_of(path) };
            let id = blake3::hash(path.as_os_str().as_encoded_bytes()).to_hex()[..16].to_owned();
            // A line break in a name would break every table.
            (id.clone(), Run { id, name: name.replace(char::is_control, "?"), path: path.clone() })
        });
        Found { runs: named.collect(), is_cut: left == 0, at: Some(Instant::now()) }
    }
}

impl Root {
    fn of(given: &Path) -> Result<Self, ServeError> {
        if store::is_url(given) {
            return Err(ServeError::Remote { url: given.to_owned() });
        }
        let refused = |reason: String| ServeError::NoDirectory { path: given.to_owned(), reason };
        let real = given.canonicalize().map_err(|error| refused(error.to_string()))?;
        if !real.is_dir() {
            return Err(refused("is a file".to_owned()));
        }
        fs::read_dir(&real).map_err(|error| refused(error.to_string()))?;
        if step_of(&real).is_some() || real.join("manifest.json").exists() {
            let reason = format!("is a checkpoint, which does not change; `inspect {}` shows it", shell::path(given));
            return Err(refused(reason));
        }
        Ok(Self { given: given.to_owned(), real })
    }

    fn name_of(&self, run: &Path) -> String {
        match run.strip_prefix(&self.real) {
            Ok(inside) if inside != Path::new("") => inside.display().to_string(),
            _ => run.file_name().unwrap_or(run.as_os_str()).to_string_lossy().into_owned(),
        }
    }

    fn long_name_of(&self, run: &Path) -> String {
        let inside = run.strip_prefix(&self.real).unwrap_or(Path::new(""));
        let whole = if inside == Path::new("") { self.given.clone() } else { self.given.join(inside) };
        whole.display().to_string()
    }
}

/// Collects the runs in a folder and in the folders in it. Links are not followed: a run is listed once, where it is.
fn collect<'a>(root: &'a Root, folder: &Path, depth: usize, left: &mut usize, runs: &mut Vec<(&'a Root, PathBuf)>) {
    if *left == 0 {
        return;
    }
    *left -= 1;
    if is_run(folder) {
        if !runs.iter().any(|(_, path)| path == folder) {
            runs.push((root, folder.to_owned()));
        }
        return;
    }
    if depth == 0 {
        return;
    }
    let mut folders: Vec<PathBuf> = entries(folder).filter(|path| is_searched(path)).collect();
    folders.sort();
    folders.iter().for_each(|folder| collect(root, folder, depth - 1, left, runs));
}

fn entries(folder: &Path) -> impl Iterator<Item = PathBuf> + use<> {
    fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path())
}

/// Whether there may be runs in a folder: not in hidden ones, and not in checkpoints.
fn is_searched(path: &Path) -> bool {
    let is_named =
        path.file_name().is_some_and(|name| name != "checkpoints" && !name.as_encoded_bytes().starts_with(b"."));
    is_named && step_of(path).is_none() && path.symlink_metadata().is_ok_and(|found| found.is_dir())
}

/// Whether a directory contains a run: a configuration alone may be a file of the user.
fn is_run(path: &Path) -> bool {
    let has = |name: &str| path.join(name).symlink_metadata().is_ok();
    has("config.toml") && ["checkpoints", "log.jsonl", "lock"].into_iter().any(has)
        || has("log.jsonl") && has("checkpoints")
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn run(path: &Path) {
        fs::create_dir_all(path.join("checkpoints")).unwrap();
        fs::write(path.join("config.toml"), "").unwrap();
    }

    fn names(catalogue: &Catalogue) -> Vec<String> {
        let mut names: Vec<String> = catalogue.search().runs.into_values().map(|run| run.name).collect();
        names.sort();
        names
    }

    #[test]
    fn runs_are_found_in_folders_of_folders_and_not_behind_links() {
        let folder = tempfile::tempdir().unwrap();
        let (runs, elsewhere) = (folder.path().join("runs"), folder.path().join("elsewhere"));
        ["a", "sweep/b", "sweep/c/1/d"].iter().for_each(|name| run(&runs.join(name)));
        ["a/checkpoints/step-0000000001/x", ".hidden", "1/2/3/4/5"].iter().for_each(|name| run(&runs.join(name)));
        run(&elsewhere);
        symlink(&elsewhere, runs.join("link")).unwrap();
        symlink(&runs, runs.join("around")).unwrap();
        let catalogue = Catalogue::of(std::slice::from_ref(&runs)).unwrap();
        assert_eq!(names(&catalogue), ["a", "sweep/b", "sweep/c/1/d"]);
        assert_eq!(catalogue.only_run(), None);
        run(&runs.join("new"));
        assert_eq!(names(&catalogue).len(), 4);
        let one = Catalogue::of(&[runs.join("a")]).unwrap();
        assert_eq!(one.only_run().map(|run| run.name).as_deref(), Some("a"));
        // A run that was given twice is there once, and equal names are told apart.
        run(&elsewhere.join("runs/a"));
        fs::remove_file(elsewhere.join("config.toml")).unwrap();
        let two = Catalogue::of(&[runs.join("a"), runs.join("a"), elsewhere.join("runs")]).unwrap();
        assert_eq!(names(&two), [elsewhere.join("runs/a"), runs.join("a")].map(|path| path.display().to_string()));
    }

    #[test]
    fn a_link_in_a_run_that_leads_out_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let runs = folder.path().join("runs");
        run(&runs.join("a"));
        run(&runs.join("b"));
        fs::write(folder.path().join("secret"), "secret").unwrap();
        let link_out = |given: &[PathBuf]| {
            let catalogue = Catalogue::of(given).unwrap();
            let found = catalogue.search().runs.into_values().find(|run| run.name == "a").unwrap();
            catalogue.link_out(&found)
        };
        symlink(runs.join("b/config.toml"), runs.join("a/timing.jsonl")).unwrap();
        assert_eq!(link_out(std::slice::from_ref(&runs)), None);
        assert!(link_out(&[runs.join("a")]).unwrap().starts_with("timing.jsonl is a link"));
        symlink(folder.path().join("secret"), runs.join("a/log.jsonl")).unwrap();
        assert!(link_out(std::slice::from_ref(&runs)).unwrap().starts_with("log.jsonl is a link"));
        fs::remove_file(runs.join("a/log.jsonl")).unwrap();
        symlink(folder.path(), runs.join("a/checkpoints/step-0000000001")).unwrap();
        assert!(link_out(std::slice::from_ref(&runs)).unwrap().starts_with("checkpoints/step-0000000001 is a link"));
        let catalogue = Catalogue::of(std::slice::from_ref(&runs)).unwrap();
        let found = catalogue.search().runs.into_values().find(|run| run.name == "b").unwrap();
        fs::rename(runs.join("b"), folder.path().join("b")).unwrap();
        symlink(folder.path().join("b"), runs.join("b")).unwrap();
        assert!(catalogue.link_out(&found).unwrap().contains("is a link by now"));
    }

    #[test]
    fn what_cannot_be_followed_is_refused_with_what_can() {
        let folder = tempfile::tempdir().unwrap();
        let refused = |path: &Path| Catalogue::of(&[path.to_owned()]).unwrap_err().to_string();
        assert!(refused(Path::new("s3://bucket/run")).contains("inspect report"));
        assert!(refused(&folder.path().join("none")).contains("give a run directory, or a folder of runs"));
        let file = folder.path().join("file");
        fs::write(&file, "").unwrap();
        assert!(refused(&file).contains("is a file"));
        let checkpoint = folder.path().join("step-0000000001");
        fs::create_dir(&checkpoint).unwrap();
        assert!(refused(&checkpoint).contains("is a checkpoint"));
    }
}
