//! Archives as folders: what a `.zip`, `.tar`, `.tar.gz` or `.tgz` holds. Contents are read where they lie, never unpacked
//! to the disk.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use flate2::read::MultiGzDecoder;
use zip::CompressionMethod;
use zip::result::ZipError;

use super::SourceError;
use super::stored::{Member, Packing, damage};
use crate::error::IoContext;

/// How the name of an archive that can be read ends.
pub(super) const ENDINGS: [&str; 4] = [".zip", ".tar", ".tar.gz", ".tgz"];

/// What an archive holds.
pub(super) struct Listing {
    members: Vec<Member>,
    /// The folder that all files are in, or the one named as the archive, with a `/` at the end.
    top: Option<String>,
}

impl Listing {
    /// Every file, with its path as it is and, if it is in the archive's top folder, below that.
    pub(super) fn files(&self) -> impl Iterator<Item = (&Member, &str, Option<&str>)> {
        self.members.iter().map(|member| {
            let below = self.top.as_ref().and_then(|top| member.name.strip_prefix(top.as_str()));
            (member, member.name.as_str(), below)
        })
    }
}

/// The archives that were looked into so far: each is listed once.
#[derive(Default)]
pub(super) struct Archives(BTreeMap<PathBuf, Arc<Listing>>);

impl Archives {
    /// What `archive` holds.
    pub(super) fn list(&mut self, archive: &Path) -> Result<Arc<Listing>, SourceError> {
        if let Some(listing) = self.0.get(archive) {
            return Ok(listing.clone());
        }
        let file = File::open(archive).at("open", archive)?;
        let ending = |ending: &str| archive.as_os_str().to_string_lossy().ends_with(ending);
        let members = if ending(".zip") {
            zip_members(file, archive)
        } else if ending(".tar") {
            tar_members(file, archive, &Packing::Tar)
        } else {
            tar_members(MultiGzDecoder::new(file), archive, &Packing::TarGz)
        };
        let members = members.at("read", archive)?;
        let top = top_folder(&members, archive);
        let listing = Arc::new(Listing { members, top });
        self.0.insert(archive.to_owned(), listing.clone());
        Ok(listing)
    }
}

fn zip_members(file: File, archive: &Path) -> io::Result<Vec<Member>> {
    let mut zip = zip::ZipArchive::new(io::BufReader::new(file)).map_err(wrong)?;
    let mut members = Members::default();
    for index in 0..zip.len() {
        let entry = zip.by_index_raw(index).map_err(wrong)?;
        if !entry.is_file() {
            continue;
        }
        let packing = if entry.encrypted() {
            Packing::Unreadable("encrypted".to_owned())
        } else {
            let zip = |deflated| Packing::Zip { packed: entry.compressed_size(), deflated, crc: entry.crc32() };
            match entry.compression() {
                CompressionMethod::Stored => zip(false),
                CompressionMethod::DEFLATE => zip(true),
                _ => Packing::Unreadable("compressed in a way other than deflate".to_owned()),
            }
        };
        let offset = entry.data_start().ok_or_else(|| io::Error::other("a file without a place"))?;
        members.add(archive, &entry.name().map_err(wrong)?, offset, entry.size(), packing);
    }
    Ok(members.finish())
}

fn wrong(error: ZipError) -> io::Error {
    match error {
        ZipError::Io(e) => damage(e),
        other => damage(io::Error::other(other.to_string())),
    }
}

/// Reads the archive to its end, so that damage anywhere in it is found.
fn tar_members(input: impl Read, archive: &Path, packing: &Packing) -> io::Result<Vec<Member>> {
    let mut tar = tar::Archive::new(input);
    let mut members = Members::default();
    for entry in tar.entries().map_err(damage)? {
        let entry = entry.map_err(damage)?;
        let kind = entry.header().entry_type();
        let packing = match kind {
            _ if kind.is_file() || kind.is_contiguous() => packing.clone(),
            _ if kind.is_gnu_sparse() => Packing::Unreadable("a sparse file".to_owned()),
            _ if kind.is_hard_link() || kind.is_symlink() => Packing::Unreadable("a link to another file".to_owned()),
            _ => continue,
        };
        let name = entry.path_bytes();
        let name = String::from_utf8_lossy(&name);
        members.add(archive, &name, entry.raw_file_position(), entry.size(), packing);
    }
    io::copy(&mut tar.into_inner(), &mut io::sink()).map_err(damage)?;
    Ok(members.finish())
}

/// Files by their paths: one that comes again replaces the one before, as it does when the archive is unpacked.
#[derive(Default)]
struct Members(BTreeMap<String, Member>);

impl Members {
    fn add(&mut self, archive: &Path, name: &str, offset: u64, bytes: u64, packing: Packing) {
        let name = name.replace('\\', "/");
        let name = name.strip_prefix("./").unwrap_or(&name).to_owned();
        // What the Finder adds: resource forks beside each file.
        if name.starts_with("__MACOSX/") {
            return;
        }
        self.0.insert(name.clone(), Member { archive: archive.to_owned(), name, offset, bytes, packing });
    }

    fn finish(self) -> Vec<Member> {
        self.0.into_values().collect()
    }
}

fn top_folder(members: &[Member], archive: &Path) -> Option<String> {
    let file = archive.file_name()?.to_str()?;
    let own = ENDINGS.iter().rev().find_map(|ending| file.strip_suffix(ending)).map(|stem| format!("{stem}/"));
    if let Some(own) = own.filter(|own| members.iter().any(|m| m.name.starts_with(own.as_str()))) {
        return Some(own);
    }
    let hidden = |member: &&Member| member.name.rsplit('/').next().is_some_and(|name| name.starts_with('.'));
    let mut seen = members.iter().filter(|m| !hidden(m)).map(|m| m.name.split_once('/').map(|(top, _)| top));
    let first = seen.next()??;
    seen.all(|top| top == Some(first)).then(|| format!("{first}/"))
}
