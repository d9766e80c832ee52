//! How the name of an object is spelt as a path (FORMAT.md, "Layout"), and back.

use std::path::{Path, PathBuf};

use delta_core::storage::{Group, ObjectName, Space};
use delta_core::{Error, Result};

/// What a file name may have at most, in bytes, on every file system that is common.
const FILE_NAME_BYTES_MAX: usize = 255;
/// The longest ending that is put behind a name.
const SIDECAR: &str = ".meta.json";
/// How the empty group is spelt: no other group has this character.
const NO_GROUP: &str = "=";
/// How the name of a temporary file begins.
pub(crate) const TEMPORARY: &str = ".t-";

/// Where one object lies.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Place {
    /// The directory.
    pub(crate) directory: PathBuf,
    /// The object's file in it.
    pub(crate) path: PathBuf,
    /// Its name, for the sidecar.
    pub(crate) name: ObjectName,
}

/// The directories of a store.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    root: PathBuf,
    templates: PathBuf,
}

impl Layout {
    /// The layout below a directory, with the schemas there or elsewhere.
    pub(crate) fn new(root: &Path, templates: Option<&Path>) -> Self {
        let templates = templates.map_or_else(|| root.join(Space::Templates.as_str()), Path::to_owned);
        Self { root: root.to_owned(), templates }
    }

    /// The directory of the store.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// The directory of the lock files.
    pub(crate) fn locks(&self) -> PathBuf {
        self.root.join("_locks")
    }

    /// The directory of what was put aside.
    pub(crate) fn quarantine(&self) -> PathBuf {
        self.root.join("_quarantine")
    }

    /// The directory of a space.
    pub(crate) fn space(&self, space: Space) -> PathBuf {
        match space {
            Space::Templates => self.templates.clone(),
            other => self.root.join(other.as_str()),
        }
    }

    /// Where an object lies.
    pub(crate) fn place(&self, name: &ObjectName) -> Result<Place> {
        let (group, text) = (name.group.as_str(), &*name.name);
        if text.is_empty() || text.contains('/') || group.contains('/') {
            return Err(Error::internal(format!("{text:?} in group {group:?} cannot be the name of a file")));
        }
        let space = self.space(name.space);
        let (directory, file) = match (has_groups(name.space), group, name.shard()) {
            (false, "", _) => (space, text.to_owned()),
            (true, "", Some(shard)) => (space.join(NO_GROUP).join(shard.to_string()), text.to_owned()),
            (_, group, Some(shard)) => (space.join(group).join(shard.to_string()), text.to_owned()),
            (_, group, None) => (space, format!("{group}_{text}")),
        };
        if file.len() + SIDECAR.len() > FILE_NAME_BYTES_MAX {
            let most = FILE_NAME_BYTES_MAX - SIDECAR.len();
            let message = format!(
                "database and key make a file name of {} bytes, and {most} are allowed in a store with plain names; \
                 use a shorter key, or a store with sealed names",
                file.len()
            );
            return Err(Error::invalid("invalid_key", message));
        }
        let path = directory.join(file + ending(name.space));
        Ok(Place { directory, path, name: name.clone() })
    }

    /// The directories that hold a group's objects by shard, where its names are sealed.
    pub(crate) fn shards_of(&self, space: Space, group: &Group) -> Option<PathBuf> {
        match (has_groups(space), group.as_str()) {
            (false, "") => None,
            (true, "") => Some(self.space(space).join(NO_GROUP)),
            (_, group) => Some(self.space(space).join(group)),
        }
    }

    /// How the files of a group begin in the directory of its space, where its names are plain.
    pub(crate) fn prefix_of(space: Space, group: &Group) -> String {
        match (has_groups(space), group.as_str()) {
            (false, "") => String::new(),
            (_, group) => format!("{group}_"),
        }
    }

    /// The group that a directory within a space stands for.
    pub(crate) fn group_of_directory(directory: &str) -> Group {
        Group::new(if directory == NO_GROUP { "" } else { directory })
    }

    /// The group that a file within the directory of a space belongs to; `None` for what is no object.
    pub(crate) fn group_of_file(space: Space, file: &str) -> Option<Group> {
        let name = name_of(space, file)?;
        if !has_groups(space) {
            return Some(Group::none());
        }
        name.split_once('_').map(|(group, _)| Group::new(group))
    }
}

/// The name that a file stands for within its directory; `None` for temporary files, sidecars and whatever else lies there.
pub(crate) fn name_of(space: Space, file: &str) -> Option<&str> {
    let name = file.strip_suffix(ending(space)).filter(|name| !name.is_empty())?;
    (!file.starts_with(TEMPORARY)).then_some(name)
}

/// The directory that a sealed name is spread into, as [`ObjectName::shard`] says it.
pub(crate) fn shard_of(name: &str) -> Option<char> {
    name.trim_start_matches('_').chars().next()
}

/// Where the sidecar of an object lies; `None` for objects that are not sealed.
pub(crate) fn sidecar_of(place: &Place) -> Option<PathBuf> {
    let file = place.path.file_name()?.to_str()?;
    let stem = file.strip_suffix(SEALED)?;
    Some(place.directory.join(format!("{stem}{SIDECAR}")))
}

/// The file of the object that a sidecar is derived from, if it is the name of one.
pub(crate) fn object_of_sidecar(file: &str) -> Option<String> {
    file.strip_suffix(SIDECAR).map(|stem| format!("{stem}{SEALED}"))
}

/// The ending of a sealed object's file.
const SEALED: &str = ".json.enc";

/// The ending of the files of a space.
fn ending(space: Space) -> &'static str {
    match space {
        Space::Store | Space::Templates => ".json",
        Space::Entities | Space::History | Space::Auth | Space::Databases => SEALED,
    }
}

/// Whether the names of a space belong to groups.
pub(crate) fn has_groups(space: Space) -> bool {
    matches!(space, Space::Entities | Space::History)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(name: &ObjectName) -> String {
        let place = Layout::new(Path::new("/db"), None).place(name).unwrap();
        place.path.display().to_string()
    }

    fn name(space: Space, group: &str, name: &str, sealed: bool) -> ObjectName {
        ObjectName { space, group: Group::new(group), name: name.into(), sealed }
    }

    #[test]
    fn paths_are_as_the_format_pictures_them() {
        let paths = [
            (name(Space::Store, "", "format.000001", false), "/db/_store/format.000001.json"),
            (name(Space::Entities, "0a1b2c3d", "k9abc", true), "/db/files/0a1b2c3d/k/k9abc.json.enc"),
            (name(Space::Entities, "0a1b2c3d", "_q7", true), "/db/files/0a1b2c3d/q/_q7.json.enc"),
            (name(Space::Entities, "a%5Fb", "c_d", false), "/db/files/a%5Fb_c_d.json.enc"),
            (name(Space::History, "0a1b2c3d", "k9@3", true), "/db/history/0a1b2c3d/k/k9@3.json.enc"),
            (name(Space::Templates, "", "chat.v1@2", false), "/db/templates/chat.v1@2.json"),
            (name(Space::Auth, "", "abc", true), "/db/_auth/abc.json.enc"),
            (name(Space::Databases, "", "abc", true), "/db/_databases/abc.json.enc"),
        ];
        for (name, path) in paths {
            assert_eq!(place(&name), path);
        }
        let elsewhere = Layout::new(Path::new("/db"), Some(Path::new("/schemas")));
        let template = elsewhere.place(&name(Space::Templates, "", "chat", false)).unwrap();
        assert_eq!(template.path, Path::new("/schemas/chat.json"));
        let entity = elsewhere.place(&name(Space::Entities, "g", "k", true)).unwrap();
        assert_eq!(sidecar_of(&entity).unwrap(), Path::new("/db/files/g/k/k.meta.json"));
        assert_eq!(sidecar_of(&template), None);
    }

    #[test]
    fn a_file_is_an_object_only_with_its_ending() {
        assert_eq!(name_of(Space::Entities, "abc.json.enc"), Some("abc"));
        for other in ["abc.meta.json", ".t-0011-7", ".json.enc", "abc.json", "abc"] {
            assert_eq!(name_of(Space::Entities, other), None, "{other}");
        }
        assert_eq!(name_of(Space::Templates, "chat.v1.json"), Some("chat.v1"));
        assert_eq!(name_of(Space::Templates, ".t-0011-7.json"), None);
    }

    #[test]
    fn a_name_too_long_for_a_file_is_refused_before_anything_is_written() {
        let layout = Layout::new(Path::new("/db"), None);
        let longest = |bytes: usize| layout.place(&name(Space::Entities, "db", &"k".repeat(bytes), false));
        assert!(longest(242).is_ok());
        assert_eq!(longest(243).unwrap_err().code(), "invalid_key");
        assert!(layout.place(&name(Space::Entities, "db", "a/b", false)).is_err());
    }
}
