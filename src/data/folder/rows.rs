//! Rows of a folder of images: its files, without bad ones if the run skips them.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::listing::{Listing, require_each, some_of};
use super::look::{self, Found};
use super::memory::Memory;
use super::{ImageFile, ImageFolder, changes};
use crate::Notice;
use crate::data::dataset::Source;
use crate::data::error::{FilesError, ImageError};
use crate::data::files::Counts;
use crate::data::format_kind::Format;
use crate::data::picture::Grey;
use crate::data::{DataConfig, DataError, Fingerprint, Split};
use crate::state::State;

/// By default images are decoded before a run begins if their total size is at most this number of bytes, which takes
/// about a minute on one core.
const CHECKED: u64 = 1 << 30;

/// The prefixes of the names of images in a checkpoint: of training, and of validation and test in separate folders.
const PREFIXES: [&str; 3] = ["", "validation:", "test:"];

/// Opens the data set of the folder `config.path`, with its split: those of separate folders for validation and test, if
/// there are any, otherwise a share or a fold. For a run that has begun, `saved` determines the rows.
pub(in crate::data) fn open(
    config: &DataConfig,
    seed: u64,
    saved: Option<&State>,
) -> Result<(Box<dyn Source>, Split), DataError> {
    let saved = saved.map(Memory::of).transpose()?;
    let listings = listings(config, saved.as_ref())?;
    let mut notices: Vec<Notice> = listings.iter().flat_map(|(_, listing)| listing.notices()).collect();
    let folders: Vec<(usize, PathBuf)> =
        listings.iter().map(|(part, listing)| (*part, listing.folder.clone())).collect();
    let mut memory = saved.clone().unwrap_or_default();
    memory.classes.clone_from(&listings[0].1.classes);
    if saved.is_none() {
        memory.grey = Grey::Bits16;
    }

    let mut parts = Vec::new();
    for (part, listing) in listings {
        let is_row = |name: &str| !memory.skips(&key(part, name)) && !memory.replaced.contains_key(&key(part, name));
        let files = listing.files.into_iter().filter(|file| is_row(&file.name)).collect();
        parts.extend(look::at_heads(files)?.into_iter().map(|found| (part, found)));
    }
    let told = config.skip_bad == Some(true);
    if saved.is_some() {
        changes::refuse(&config.path, &mut parts, &mut memory, told)?;
    }
    let channels = config.channels.map(|channels| u64::from(channels) as usize);
    let shaping = config.shaping();
    let size = look::size_of_all(parts.iter().map(|(_, found)| found), channels, shaping)?;
    // The images of a run that has begun are identified by their content.
    let is_told_now = told && saved.as_ref().is_none_or(|saved| saved.skipped.is_none());
    let bytes = parts.iter().map(|(_, found)| found.bytes).sum::<u64>();
    if is_told_now || (saved.is_none() && config.check_images.unwrap_or(bytes <= CHECKED)) {
        look::at_pixels(parts.iter_mut().map(|(_, found)| found))?;
    } else if saved.is_none() {
        notices.push(unchecked(bytes));
    }

    let all = parts.len() + memory.skipped.iter().flatten().count() + memory.replaced.len();
    let (good, bad): (Vec<_>, Vec<_>) = parts.into_iter().partition(|(_, found)| found.size.is_ok());
    // The fingerprint of an image that was valid when the run began must be known.
    let may_be_left_out = is_told_now || (told && !memory.images.is_empty());
    if !bad.is_empty() && !may_be_left_out {
        let reasons = bad.into_iter().filter_map(|(_, found)| found.size.err());
        let reasons = reasons.map(|reason| if told { reason.with_remedy(ImageError::AS_BEGUN) } else { reason });
        return Err(look::refusal(all, reasons.collect()).into());
    }
    if saved.is_some() {
        let was = |(part, found): &(usize, Found)| {
            let key = key(*part, &found.name);
            let was = memory.images.get(&key).cloned().unwrap_or_else(|| found.fingerprint());
            (key, was)
        };
        let replaced: Vec<(String, Fingerprint)> = bad.iter().map(was).collect();
        memory.replaced.extend(replaced);
    }
    if told {
        let skipped = bad.iter().filter(|_| saved.is_none()).map(|(part, found)| key(*part, &found.name));
        memory.skipped.get_or_insert_default().extend(skipped);
    }
    let Some(size) = size else { return Err(DataError::NoRows { path: config.path.clone() }) };

    let mut rows: Vec<Row> = good.into_iter().map(|(part, found)| Row::of(part, found)).collect();
    rows.extend(memory.replaced.iter().filter_map(|(key, was)| Row::replaced(key, was, &folders, &memory.classes)));
    rows.sort_by(|a, b| (a.part, a.class, &a.name).cmp(&(b.part, b.class, &b.name)));
    if saved.is_none() {
        require_each(&config.path, &memory.classes, rows.iter().filter(|row| row.part == 0).map(|row| row.class))?;
    }
    let of_part = |part: usize| rows.iter().filter(|row| row.part == part).count();
    let counts = Counts { train: of_part(0), validation: of_part(1), test: of_part(2) };
    let split = Split::of(config, counts, || Some(rows.iter().map(|row| row.class).collect()), seed)?;
    let stand_ins = stand_ins(&rows, &split).ok_or_else(|| DataError::NoRows { path: config.path.clone() })?;
    notices.extend(left_out(&memory, all, saved.is_some()));
    remember(&mut memory, &rows);
    let fingerprint = Fingerprint::of_files(rows.iter().map(|row| (row.identity(), &row.fingerprint)));
    let files = rows.into_iter().map(|row| row.file).collect();
    Ok((Box::new(ImageFolder { files, stand_ins, size, shaping, fingerprint, memory, notices }), split))
}

/// Returns the files of the training images, and those of validation and test images in separate folders, by the number of
/// the prefix of their names.
fn listings(config: &DataConfig, saved: Option<&Memory>) -> Result<Vec<(usize, Listing)>, DataError> {
    // A run that began without examining its images may still be told to skip a bad one.
    if config.skip_bad == Some(true) && config.check_images == Some(false) && saved.is_none() {
        return Err(DataError::meaningless("check_images", "images whose bad ones are skipped"));
    }
    let train = Listing::of(&config.path, saved.map_or(&[], |saved| &saved.classes))?;
    let mut listings = vec![(0, train)];
    let others = [(1, "validation_path", &config.validation_path), (2, "test_path", &config.test_path)];
    for (part, option, paths) in others {
        let Some(paths) = paths else { continue };
        let path = paths.only().ok_or(FilesError::OnePath { option, format: Format::Images.name() })?;
        let listing = Listing::of_known(path, &listings[0].1.classes, saved.is_some())?;
        listings.push((part, listing));
    }
    Ok(listings)
}

/// Saves the fingerprint of each row, or their number, if that is not known from the beginning of the run.
fn remember(memory: &mut Memory, rows: &[Row]) {
    if !memory.images.is_empty() || memory.count.is_some() {
        return;
    }
    if rows.len() > Memory::MOST {
        memory.count = Some(rows.len());
    } else {
        memory.images = rows.iter().map(|row| (key(row.part, &row.name), row.fingerprint.clone())).collect();
    }
}

/// Returns the name of an image in a memory, by the use of its folder.
pub(super) fn key(part: usize, name: &str) -> String {
    format!("{}{name}", PREFIXES.get(part).copied().unwrap_or_default())
}

/// A row, in the folder for training, for validation or for a test.
struct Row {
    part: usize,
    /// Its class and its name in the class.
    name: String,
    class: u32,
    fingerprint: Fingerprint,
    /// Whether it exists, so that it needs no replacement.
    is_there: bool,
    file: ImageFile,
}

impl Row {
    fn of(part: usize, found: Found) -> Self {
        let fingerprint = found.fingerprint();
        let Found { path, name, class, hash, .. } = found;
        Self { part, name, class, fingerprint, is_there: true, file: ImageFile { path, class, hash: Some(hash) } }
    }

    /// Returns its name in the identity of the data. Those of training and validation images are alike, as in runs of earlier
    /// versions.
    fn identity(&self) -> String {
        if self.part < 2 { self.name.clone() } else { key(self.part, &self.name) }
    }

    /// Returns the row that was replaced; `None` if it belongs to no class.
    fn replaced(key: &str, was: &Fingerprint, folders: &[(usize, PathBuf)], classes: &[String]) -> Option<Self> {
        let named = (1..PREFIXES.len()).find_map(|part| Some((part, key.strip_prefix(PREFIXES[part])?)));
        let (part, name) = named.unwrap_or((0, key));
        let class_name = name.split('/').next()?;
        let class = classes.iter().position(|class| class == class_name)? as u32;
        let (_, folder) = folders.iter().find(|(of, _)| *of == part)?;
        let file = ImageFile { path: folder.join(name), class, hash: None };
        Some(Self { part, name: name.to_owned(), class, fingerprint: was.clone(), is_there: false, file })
    }
}

/// Returns a replacement for each missing row: the next existing one of its class of the same use, or of
/// any class if there is none. `None` if a side has no image at all.
fn stand_ins(rows: &[Row], split: &Split) -> Option<BTreeMap<usize, usize>> {
    let missing = || rows.iter().enumerate().filter(|(_, row)| !row.is_there);
    if missing().next().is_none() {
        return Some(BTreeMap::new());
    }
    let uses = [(split.validation(), 1), (split.test(), 2)];
    let of = uses.into_iter().flat_map(|(rows, part)| rows.iter().map(move |row| (row, part)));
    let of: BTreeMap<usize, u8> = of.collect();
    let stand_in = |(at, row): (usize, &Row)| {
        let others = (at..rows.len()).chain(0..at);
        let fit = others.filter(|other| rows[*other].is_there && of.get(other) == of.get(&at));
        let fit: Vec<usize> = fit.collect();
        let of_class = fit.iter().find(|other| rows[**other].class == row.class);
        Some((at, *of_class.or(fit.first())?))
    };
    missing().map(stand_in).collect()
}

fn unchecked(bytes: u64) -> Notice {
    let size = bytes as f64 / f64::from(1 << 30);
    Notice::Note(format!(
        "the images, {size:.1} GiB, are not decoded to check them; `data.check_images = true` does this"
    ))
}

/// Returns remarks about skipped images, for a run that `has_begun` or begins now. Those of a run that has begun may be
/// valid again, and are not examined.
fn left_out(memory: &Memory, all: usize, has_begun: bool) -> Vec<Notice> {
    let skipped: Vec<&str> = memory.skipped.iter().flatten().map(String::as_str).collect();
    let replaced: Vec<&str> = memory.replaced.keys().map(String::as_str).collect();
    let mut notices = Vec::new();
    if !skipped.is_empty() {
        let (count, names) = (skipped.len(), some_of(&skipped));
        let are = if has_begun { "could not be read when the run began, and remain" } else { "cannot be read and are" };
        notices.push(format!("{count} of {all} images {are} skipped: {names}"));
    }
    if !replaced.is_empty() {
        let (images, place) = match replaced.len() {
            1 => ("1 image".to_owned(), "its place"),
            count => (format!("{count} images"), "the place of each"),
        };
        let names = some_of(&replaced);
        notices.push(format!(
            "{images} could not be read or found, and for the rest of the run another one of its class is used in \
             {place}: {names}"
        ));
    }
    notices.into_iter().map(Notice::Warning).collect()
}
