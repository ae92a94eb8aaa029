//! Images in folders: a folder is a class.

use super::config::{DataConfig, ImageSize};
use super::targets::check_names;
use super::{Provenance, Role, name_of, picture, read_file, source};
use crate::FormatError;
use crate::error::at;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use thalweg_array::{Array, DType};
use thalweg_data::Dataset;

/// An image that was found.
struct Found {
    path: PathBuf,
    class: String,
    role: Role,
}

/// Folders by whose names parts are told.
const PARTS: [(&str, Role); 5] = [
    ("train", Role::Train),
    ("val", Role::Validation),
    ("valid", Role::Validation),
    ("validation", Role::Validation),
    ("test", Role::Test),
];

fn refused(what: String) -> FormatError {
    FormatError::Unsupported { format: "images", what }
}

/// Whether a name ends as that of a picture that is read.
pub(super) fn is_picture(path: &Path) -> bool {
    let ends = |name: &str| path.extension().is_some_and(|e| e.eq_ignore_ascii_case(name));
    ends("png") || ends("jpg") || ends("jpeg")
}

/// Loads images from folders.
///
/// The folder of an image is its class: `root/class/*.png` (or `.jpg`, `.jpeg`); with `root/train`,
/// `root/test` and `root/val` (or `valid`, `validation`) around them these are the fixed parts.
/// Classes are in the order of their names, as texts. Images have the channels of the
/// configuration, else three if any of them is in colour; they are all of one size, or brought to
/// the one that the configuration says. Values are from 0 to 1.
///
/// # Errors
/// No images, several sizes and none asked for, a picture that is broken or too large.
pub fn load_images(root: &Path, config: &DataConfig) -> Result<Dataset, FormatError> {
    let Listing { mut found, others } = list(root).map_err(at(root))?;
    if found.is_empty() {
        let what = "no folders with PNG or JPEG images in it: expected ROOT/CLASS/IMAGE.png, or \
                    ROOT/train/CLASS/IMAGE.png and ROOT/test/CLASS/IMAGE.png";
        return Err(at(root)(refused(what.into())));
    }
    let classes = classes(&found, config).map_err(at(root))?;
    // Parts in their order, so that rows of a part follow each other.
    found.sort_by_key(|image| image.role as usize);
    let survey = survey(&found)?;
    let channels = config.channels.unwrap_or(if survey.colour { 3 } else { 1 });
    let size = size(&survey, config).map_err(at(root))?;
    let inputs = read_all(&found, size, channels)?;
    let roles = |wanted: Role| -> Vec<usize> {
        (0..found.len()).filter(|&row| found[row].role == wanted).collect()
    };
    let label = |image: &Found| classes.iter().position(|class| *class == image.class);
    let labels: Vec<i64> = found.iter().filter_map(label).map(|label| label as i64).collect();
    let provenance = Provenance {
        source: source(root),
        scale: "channels from 0 to 1".into(),
        ..Provenance::default()
    };
    let labels = Array::vector(&labels);
    let made = super::classes(&name_of(root), &inputs, &labels, classes.len(), classes, provenance)
        .and_then(|data| Ok(data.with_fixed_parts(roles(Role::Validation), roles(Role::Test))?));
    let mut data = made.map_err(at(root))?;
    if survey.sizes.len() > 1
        || survey.sizes.keys().any(|&(h, w)| (h, w) != (size.height, size.width))
    {
        data = data.with_note(format!("brought to {size} from {}", shown_sizes(&survey.sizes)));
    }
    if survey.alpha > 0 {
        data = data.with_note(format!("transparency of {} images is left aside", survey.alpha));
    }
    if others > 0 {
        data = data.with_note(format!("{others} files that are no PNG or JPEG are left aside"));
    }
    Ok(data)
}

struct Listing {
    found: Vec<Found>,
    /// Files in folders of classes that are no images.
    others: usize,
}

/// The entries of a folder by name, hidden ones left out.
fn entries(folder: &Path) -> Result<Vec<PathBuf>, FormatError> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if !entry.file_name().to_string_lossy().starts_with('.') {
            paths.push(entry.path());
        }
    }
    paths.sort();
    Ok(paths)
}

fn last_name(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

fn list(root: &Path) -> Result<Listing, FormatError> {
    let mut listing = Listing { found: Vec::new(), others: 0 };
    let folders: Vec<PathBuf> = entries(root)?.into_iter().filter(|path| path.is_dir()).collect();
    let role = |folder: &Path| {
        let name = last_name(folder);
        PARTS.iter().find(|(part, _)| *part == name).map(|(_, role)| *role)
    };
    let parted = folders.iter().any(|folder| role(folder) == Some(Role::Train));
    if parted {
        for folder in &folders {
            let Some(role) = role(folder) else { continue };
            for class in entries(folder)?.iter().filter(|path| path.is_dir()) {
                listing.add(class, role)?;
            }
        }
    } else {
        for class in &folders {
            listing.add(class, Role::Train)?;
        }
    }
    Ok(listing)
}

impl Listing {
    fn add(&mut self, folder: &Path, role: Role) -> Result<(), FormatError> {
        let class = last_name(folder);
        for path in entries(folder)?.into_iter().filter(|path| path.is_file()) {
            match is_picture(&path) {
                true => self.found.push(Found { path, class: class.clone(), role }),
                false => self.others += 1,
            }
        }
        Ok(())
    }
}

/// The names of all classes, which those of the folders are among.
fn classes(found: &[Found], config: &DataConfig) -> Result<Vec<String>, FormatError> {
    let mut names: Vec<String> = found.iter().map(|image| image.class.clone()).collect();
    names.sort();
    names.dedup();
    if config.classes.is_empty() {
        check_names("the folders", names.len(), config)?;
        return Ok(names);
    }
    match names.iter().find(|name| !config.classes.contains(name)) {
        Some(name) => Err(refused(format!(
            "the folder `{name}` is none of the classes {}",
            config.classes.join(", ")
        ))),
        None => Ok(config.classes.clone()),
    }
}

#[derive(Default)]
struct Survey {
    /// How many images are of each size.
    sizes: BTreeMap<(usize, usize), usize>,
    colour: bool,
    alpha: usize,
}

/// Sizes and colours of all images, none of them decoded.
fn survey(found: &[Found]) -> Result<Survey, FormatError> {
    let mut survey = Survey::default();
    for image in found {
        let header = picture::header(&read_file(&image.path)?).map_err(at(&image.path))?;
        *survey.sizes.entry((header.size.height, header.size.width)).or_default() += 1;
        survey.colour |= header.colour;
        survey.alpha += usize::from(header.alpha);
    }
    Ok(survey)
}

fn size(survey: &Survey, config: &DataConfig) -> Result<ImageSize, FormatError> {
    if let Some(size) = config.resize {
        return Ok(size);
    }
    let mut sizes = survey.sizes.keys();
    match (sizes.next(), sizes.next()) {
        (Some(&(height, width)), None) => Ok(ImageSize { height, width }),
        _ => Err(refused(format!(
            "the images differ in size, {}: say --resize HEIGHTxWIDTH",
            shown_sizes(&survey.sizes)
        ))),
    }
}

/// The most frequent sizes.
fn shown_sizes(sizes: &BTreeMap<(usize, usize), usize>) -> String {
    const FEW: usize = 5;
    let mut by_count: Vec<_> = sizes.iter().collect();
    by_count.sort_by_key(|&(size, count)| (std::cmp::Reverse(count), size));
    let few: Vec<String> = by_count
        .iter()
        .take(FEW)
        .map(|((h, w), count)| format!("{h}x{w} ({count} images)"))
        .collect();
    let rest = sizes.len() - few.len();
    let more = if rest > 0 { format!(" and {rest} other sizes") } else { String::new() };
    few.join(", ") + &more
}

fn read_all(found: &[Found], size: ImageSize, channels: usize) -> Result<Array, FormatError> {
    let shape = [found.len(), size.height, size.width, channels];
    let mut inputs = Array::try_zeros(DType::F32, &shape)?;
    let each = size.height * size.width * channels;
    let rows = inputs.as_mut_slice::<f32>()?.chunks_exact_mut(each.max(1));
    for (image, row) in found.iter().zip(rows) {
        let bytes = read_file(&image.path)?;
        let (values, _) = picture::pixels(&bytes, channels, Some(size)).map_err(at(&image.path))?;
        if values.len() != row.len() {
            return Err(at(&image.path)(refused("it changed while it was read".into())));
        }
        row.copy_from_slice(&values);
    }
    Ok(inputs)
}
