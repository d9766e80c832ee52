//! Files that change by themselves: bits that flip, ends that are missing, contents that lie under another name.
//!
//! Whatever happened to a file, its entity is answered with an error of the server's, never as absent and never as anything
//! that was not written; and every other entity is there.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::faults::paths::files;
use crate::http::{Client, Request};
use crate::random::Random;

/// The databases that entities are spread over.
const DATABASES: [&str; 3] = ["one", "two", "three"];
/// How many entities are written with one request.
const MAP_KEYS: usize = 100;

/// One kind of damage to files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Damage {
    /// One bit is another.
    Flip,
    /// The end is missing, or all of it.
    Truncation,
    /// Two files have changed places.
    Swap,
}

/// The entities that are written and then read.
#[derive(Debug, Clone)]
pub struct Entities(Vec<(&'static str, String, String)>);

impl Entities {
    /// So many, each with a document of its own.
    pub fn new(count: usize) -> Self {
        let entity = |at: usize| {
            let length = if at.is_multiple_of(10) { 9_000 } else { at % 300 };
            let document = format!("{{\"at\":{at},\"text\":\"{:x<length$}\"}}", "");
            (DATABASES.iter().cycle().nth(at).copied().unwrap_or_default(), format!("k{at}"), document)
        };
        Self((0..count).map(entity).collect())
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// Writes all.
    pub fn write(&self, client: &mut Client) -> Result<(), String> {
        for database in DATABASES {
            let members: Vec<_> = self.0.iter().filter(|(of, ..)| *of == database).collect();
            for some in members.chunks(MAP_KEYS) {
                let member = |(_, key, document): &&(&str, String, String)| format!("\"{key}\":{document}");
                let body = format!("{{{}}}", some.iter().map(member).collect::<Vec<_>>().join(","));
                let answer = client.try_send(&Request::new("PUT", &format!("/entity/{database}")).body(body));
                let answer = answer.map_err(|error| error.to_string())?;
                if answer.status != 200 {
                    return Err(format!("{answer:?}"));
                }
            }
        }
        Ok(())
    }

    /// Reads all: those that the server refuses with an error of its own, as `database/key`. Any answer but that and the
    /// document is an error.
    pub fn read(&self, client: &mut Client) -> Result<BTreeSet<String>, String> {
        let mut refused = BTreeSet::new();
        for (database, key, document) in &self.0 {
            let answer = client.try_send(&Request::new("GET", &format!("/entity/{database}/{key}")));
            let answer = answer.map_err(|error| format!("{database}/{key}: {error}"))?;
            match answer.status {
                200 if answer.text() == document => {}
                500..=599 => _ = refused.insert(format!("{database}/{key}")),
                _ => return Err(format!("{database}/{key}: {answer:?}")),
            }
        }
        Ok(refused)
    }
}

/// The objects of entities below the root of a store on `fs`, in order.
pub fn objects(root: &Path) -> Vec<PathBuf> {
    let mut objects = files(&root.join("files"));
    objects.retain(|path| path.to_string_lossy().ends_with(".json.enc"));
    objects.sort();
    objects
}

/// The entity of an object's file in a store with plain names, as `database/key`.
pub fn entity_of(object: &Path) -> String {
    let name = object.file_name().unwrap_or_default().to_string_lossy();
    name.trim_end_matches(".json.enc").replacen('_', "/", 1)
}

/// What was damaged, and what it was before.
#[derive(Debug, Default)]
pub struct Damaged(Vec<(PathBuf, Vec<u8>)>);

impl Damaged {
    /// Damages so many of some files, each once; fewer where a swap is left without a partner.
    pub fn some(files: &[PathBuf], count: usize, random: &mut Random) -> std::io::Result<Self> {
        let mut left = files.to_vec();
        let mut damaged = Self::default();
        while damaged.0.len() < count && left.len() > 1 {
            let path = left.swap_remove(random.index(left.len()));
            let image = fs::read(&path)?;
            match [Damage::Flip, Damage::Truncation, Damage::Swap].get(random.index(3)) {
                Some(Damage::Swap) if damaged.0.len() + 2 <= count => {
                    let other = left.swap_remove(random.index(left.len()));
                    let others = fs::read(&other)?;
                    fs::write(&path, &others)?;
                    fs::write(&other, &image)?;
                    damaged.0.push((other, others));
                }
                Some(Damage::Truncation) => {
                    fs::write(&path, image.get(..random.index(image.len())).unwrap_or_default())?
                }
                _ => {
                    let mut flipped = image.clone();
                    let at = random.index(flipped.len());
                    flipped.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 1 << random.below(8));
                    fs::write(&path, flipped)?;
                }
            }
            damaged.0.push((path, image));
        }
        Ok(damaged)
    }

    /// The files that were damaged.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        self.0.iter().map(|(path, _)| path.as_path())
    }

    /// Makes them what they were.
    pub fn repair(self) -> std::io::Result<()> {
        self.0.into_iter().try_for_each(|(path, image)| fs::write(path, image))
    }
}
