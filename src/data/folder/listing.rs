//! The images of each class in a folder, and its other files.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::look::{self, Found};
use crate::Notice;
use crate::data::DataError;
use crate::data::error::ImageError;
use crate::data::error::hint;

/// Names of files that servers, archives and systems leave in folders. They are neither classes nor images.
const SYSTEM: &[&str] = &[
    "@eaDir",
    "#recycle",
    "#snapshot",
    "@Recycle",
    "@Recently-Snapshot",
    "__MACOSX",
    "__pycache__",
    "lost+found",
    "$RECYCLE.BIN",
    "System Volume Information",
    "Thumbs.db",
    "ehthumbs.db",
    "desktop.ini",
    "Icon\r",
];

/// A file that should be an image.
pub(super) struct Listed {
    pub path: PathBuf,
    /// Its class and its name in the class.
    pub name: String,
    pub class: u32,
}

/// The files of the classes in a folder.
#[derive(Default)]
pub(super) struct Listing {
    pub folder: PathBuf,
    pub classes: Vec<String>,
    pub files: Vec<Listed>,
    /// The names of skipped files: hidden ones, and those of a system.
    ignored: BTreeSet<String>,
    /// Images beside the class folders.
    beside: Aside,
    /// Images in subfolders of class folders.
    deeper: Aside,
}

/// Images that are not rows.
#[derive(Default)]
struct Aside {
    count: usize,
    example: PathBuf,
}

impl Aside {
    fn add(&mut self, path: PathBuf) {
        if self.count == 0 {
            self.example = path;
        }
        self.count += 1;
    }
}

/// An entry of a folder.
struct Entry {
    name: String,
    path: PathBuf,
    is_folder: bool,
}

impl Entry {
    /// Whether it is hidden, or belongs to a system.
    fn is_ignored(&self) -> bool {
        self.name.starts_with('.') || SYSTEM.iter().any(|name| name.eq_ignore_ascii_case(&self.name))
    }

    fn is_named_as_image(&self) -> bool {
        let is = |ending: &str| self.path.extension().is_some_and(|own| own.eq_ignore_ascii_case(ending));
        !self.is_folder && ["png", "jpg", "jpeg", "jpe", "jfif", "webp", "bmp", "dib", "gif"].into_iter().any(is)
    }
}

/// Returns the entries of a folder in the order of their names, with links followed.
fn entries(folder: &Path) -> Result<Vec<Entry>, DataError> {
    let unreadable = |source| DataError::from(ImageError::Read { path: folder.into(), source });
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        let name = entry.file_name().into_string();
        let name = name.map_err(|name| ImageError::Name { path: folder.join(name) })?;
        let path = entry.path();
        found.push(Entry { name, is_folder: path.is_dir(), path });
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
}

impl Listing {
    /// Lists the classes in `folder` and their files. The `known` classes of a run that has begun are kept, with any
    /// names, even if they have no images now.
    ///
    /// It has no subfolders; or, without known classes, the images cannot be used as intended: a class without images,
    /// a single class, or images that would be skipped.
    pub fn of(folder: &Path, known: &[String]) -> Result<Self, DataError> {
        let mut listing = Self { folder: folder.into(), ..Self::default() };
        let mut classes: BTreeSet<String> = known.iter().cloned().collect();
        classes.extend(listing.top(known)?);
        if classes.is_empty() {
            return Err(ImageError::NoClasses { path: folder.into() }.into());
        }
        listing.classes = classes.into_iter().collect();
        listing.list()?;
        if known.is_empty() {
            listing.require_images_of_every_class()?;
        }
        Ok(listing)
    }

    /// Lists the files in `folder` of these classes, some of which may be missing.
    ///
    /// There is another class; or, unless the run `has_begun`, images would be skipped.
    pub fn of_known(folder: &Path, classes: &[String], has_begun: bool) -> Result<Self, DataError> {
        let mut listing = Self { folder: folder.into(), ..Self::default() };
        let found = listing.top(classes)?;
        if let Some(name) = found.iter().find(|name| !classes.contains(name)) {
            let known: Vec<&str> = classes.iter().map(String::as_str).collect();
            return Err(ImageError::UnknownClass { path: folder.join(name), hint: hint(name, &known) }.into());
        }
        if found.is_empty() {
            return Err(ImageError::NoClasses { path: folder.into() }.into());
        }
        classes.clone_into(&mut listing.classes);
        listing.list()?;
        if !has_begun {
            listing.refuse_deeper()?;
        }
        listing.require_any()?;
        Ok(listing)
    }

    /// Lists all files in `folder` and its subfolders, for any class; or the one file that it is.
    ///
    /// # Errors
    /// There are no files, or images would be skipped.
    pub fn unlabelled(folder: &Path) -> Result<Self, DataError> {
        let mut listing = Self { folder: folder.into(), ..Self::default() };
        if folder.is_file() {
            let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
            listing.files.push(Listed { path: folder.into(), name, class: 0 });
            return Ok(listing);
        }
        let places = listing.top(&[])?;
        let own = entries(folder)?.into_iter().filter(|entry| !entry.is_folder && !entry.is_ignored());
        listing.files.extend(own.map(|Entry { name, path, .. }| Listed { path, name, class: 0 }));
        for place in places {
            listing.files_in(&place, 0)?;
        }
        listing.refuse_deeper()?;
        listing.require_any()?;
        Ok(listing)
    }

    /// Returns the names of the folders that may be classes.
    fn top(&mut self, known: &[String]) -> Result<Vec<String>, DataError> {
        let mut folders = Vec::new();
        for entry in entries(&self.folder)? {
            if entry.is_folder && (known.contains(&entry.name) || !entry.is_ignored()) {
                folders.push(entry.name);
            } else if entry.is_ignored() {
                self.ignored.insert(entry.name);
            } else if entry.is_named_as_image() {
                self.beside.add(entry.path);
            }
        }
        Ok(folders)
    }

    /// Lists the files of the classes, class after class.
    fn list(&mut self) -> Result<(), DataError> {
        for (class, name) in self.classes.clone().iter().enumerate() {
            if self.folder.join(name).exists() {
                self.files_in(name, class as u32)?;
            }
        }
        Ok(())
    }

    fn files_in(&mut self, folder: &str, class: u32) -> Result<(), DataError> {
        for entry in entries(&self.folder.join(folder))? {
            if entry.is_ignored() {
                self.ignored.insert(entry.name);
            } else if entry.is_folder {
                self.look_deeper(&entry.path, 0);
            } else {
                let name = format!("{folder}/{}", entry.name);
                self.files.push(Listed { path: entry.path, name, class });
            }
        }
        Ok(())
    }

    /// Counts the images in a folder that is nested too deeply. An unreadable folder counts as empty.
    fn look_deeper(&mut self, folder: &Path, depth: usize) {
        /// Links can form cycles.
        const DEEPEST: usize = 16;
        for entry in entries(folder).unwrap_or_default().into_iter().filter(|entry| !entry.is_ignored()) {
            if entry.is_named_as_image() {
                self.deeper.add(entry.path);
            } else if entry.is_folder && depth < DEEPEST && !entry.path.is_symlink() {
                self.look_deeper(&entry.path, depth + 1);
            }
        }
    }

    fn require_images_of_every_class(&self) -> Result<(), DataError> {
        self.refuse_deeper()?;
        self.require_any()?;
        require_each(&self.folder, &self.classes, self.files.iter().map(|file| file.class))?;
        match &self.classes[..] {
            [class] => Err(ImageError::OneClass { path: self.folder.clone(), class: class.clone() }.into()),
            _ => Ok(()),
        }
    }

    /// Removes the images that cannot be read, and reports them.
    ///
    /// # Errors
    /// No image can be read, or the disk fails.
    pub fn leave_out_bad(&mut self) -> Result<Vec<Notice>, DataError> {
        let all = self.files.len();
        let mut found = look::at_heads(std::mem::take(&mut self.files))?;
        look::at_pixels(found.iter_mut())?;
        let (good, bad): (Vec<Found>, Vec<Found>) = found.into_iter().partition(|file| file.size.is_ok());
        if good.is_empty() {
            let reasons = bad.into_iter().filter_map(|file| file.size.err());
            let reasons = reasons.map(|reason| reason.with_remedy(ImageError::BRING));
            return Err(look::refusal(all, reasons.collect()).into());
        }
        self.files = good.into_iter().map(|Found { path, name, class, .. }| Listed { path, name, class }).collect();
        let names: Vec<&str> = bad.iter().map(|file| file.name.as_str()).collect();
        let (count, names) = (names.len(), some_of(&names));
        let said = || Notice::Warning(format!("{count} of {all} images cannot be read and are skipped: {names}"));
        Ok((count > 0).then(said).into_iter().collect())
    }

    fn require_any(&self) -> Result<(), DataError> {
        if self.files.is_empty() {
            return Err(DataError::NoRows { path: self.folder.clone() });
        }
        Ok(())
    }

    fn refuse_deeper(&self) -> Result<(), DataError> {
        if self.deeper.count == 0 {
            return Ok(());
        }
        let Aside { count, example } = &self.deeper;
        // If no class has images, the classes are probably the subfolders.
        let meant = self.classes.first().filter(|_| self.files.is_empty());
        let meant = meant.map(|class| self.folder.join(class));
        Err(ImageError::Deeper { path: self.folder.clone(), count: *count, example: example.clone(), meant }.into())
    }

    /// Returns remarks about it for the user.
    pub fn notices(&self) -> Vec<Notice> {
        let folder = self.folder.display();
        let left_out = |Aside { count, example }: &Aside, place: &str| {
            let (images, example) = (if *count == 1 { "image is" } else { "images are" }, example.display());
            (*count > 0).then(|| Notice::Warning(format!("{count} {images} skipped, such as {example}: {place}")))
        };
        let ignored: Vec<&str> = self.ignored.iter().map(String::as_str).collect();
        let ignored = (!ignored.is_empty()).then(|| {
            let names = some_of(&ignored);
            Notice::Note(format!("in {folder}, hidden and system files are skipped: {names}"))
        });
        let beside = left_out(&self.beside, "images beside the class folders have no class");
        let deeper = left_out(&self.deeper, "images in subfolders of the class folders are skipped");
        [ignored, beside, deeper].into_iter().flatten().collect()
    }
}

/// Refuses classes in `folder` without images; `found` are the classes with images.
pub(super) fn require_each(
    folder: &Path,
    classes: &[String],
    found: impl Iterator<Item = u32>,
) -> Result<(), DataError> {
    let found: BTreeSet<u32> = found.collect();
    let empty = classes.iter().zip(0..).filter(|(_, class)| !found.contains(class));
    let empty: Vec<String> = empty.map(|(name, _)| name.clone()).collect();
    if empty.is_empty() { Ok(()) } else { Err(ImageError::EmptyClasses { path: folder.into(), empty }.into()) }
}

/// Lists the first few names, and the number of the others.
pub(in crate::data) fn some_of(names: &[&str]) -> String {
    const SHOWN: usize = 10;
    let shown = names.iter().take(SHOWN).copied().collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(SHOWN) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(files: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for file in files {
            let path = folder.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        folder
    }

    /// In earlier versions every folder was a class.
    #[test]
    fn classes_that_a_run_has_begun_with_stay_classes() {
        let folder = folder(&["@eaDir/1.png", "cat/1.png", "cat/deep/2.png", "empty/.keep", "__MACOSX/x.png"]);
        let known = ["@eaDir", "cat", "empty", "gone"].map(str::to_owned);
        let listing = Listing::of(folder.path(), &known).unwrap();
        let files: Vec<(&str, u32)> = listing.files.iter().map(|file| (file.name.as_str(), file.class)).collect();
        assert_eq!((&listing.classes[..], &files[..]), (&known[..], &[("@eaDir/1.png", 0), ("cat/1.png", 1)][..]));
        let notices: Vec<String> = listing.notices().iter().map(ToString::to_string).collect();
        assert!(notices[0].ends_with("are skipped: .keep, __MACOSX"), "{notices:?}");
        assert!(notices[1].contains("1 image is skipped, such as ") && notices[1].contains("cat/deep/2.png"));
        assert!(Listing::of(folder.path(), &[]).is_err());
    }

    #[test]
    fn one_class_that_a_run_has_begun_with_is_enough() {
        let folder = folder(&["cat/1.png"]);
        assert!(Listing::of(folder.path(), &["cat".to_owned()]).is_ok());
        assert!(Listing::of(folder.path(), &[]).is_err());
    }
}
