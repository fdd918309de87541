//! Model repositories: configuration, tokenizer and weights, as one directory.

use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use super::interface::{Listed, Listing};
use super::{FetchedFile, Hub, Repo};
use crate::error::IoContext;
use crate::model::weights::{ShardIndex, WEIGHT_FILES};
use crate::progress::{Progress, Quiet};
use crate::source::SourceError;
use crate::source::lock::RepoKind;

impl Hub {
    /// The directory of a model repository with its `config.json`, `tokenizer.json` and weights: fetched if they are not here
    /// yet. Of several kinds of weight files only the one that would be read is taken; of an index, the shards that it lists.
    ///
    /// # Errors
    /// As [`super::fetch`], and when an index is malformed.
    pub fn model_dir(&self, repo: &str, revision: &str) -> Result<PathBuf, SourceError> {
        self.model(repo, revision, &Quiet, &AtomicBool::new(false)).map(|(dir, _)| dir)
    }

    /// As [`Self::model_dir`], with the files that are in the directory then.
    pub fn model(
        &self,
        repo: &str,
        revision: &str,
        progress: &dyn Progress,
        stop: &AtomicBool,
    ) -> Result<(PathBuf, Vec<FetchedFile>), SourceError> {
        let repo = Repo { kind: RepoKind::Model, id: repo, revision };
        let listing = self.listing(repo, stop)?;
        let weights = WEIGHT_FILES.into_iter().find(|name| listed(&listing, name).is_some());
        let weights = weights.ok_or_else(|| {
            self.absent(format!("weights ({}) in {} at {revision}", WEIGHT_FILES.join(", "), repo.id))
        })?;
        let needed = |name: &str| {
            listed(&listing, name).ok_or_else(|| self.absent(format!("{name} in {} at {revision}", repo.id)))
        };
        let wanted =
            ["config.json", "tokenizer.json", weights].map(needed).into_iter().collect::<Result<Vec<_>, _>>()?;
        let mut files = self.get(repo, &listing.commit, &wanted, progress, stop)?;
        if ShardIndex::is_name(weights) {
            let index = files.iter().find(|file| file.entry.path == weights).map(|file| self.blob(&file.entry.sha256));
            let index = index.unwrap_or_default();
            let bytes = std::fs::read(&index).at("read", &index)?;
            let index = ShardIndex::parse(&bytes)
                .map_err(|problem| SourceError::Index { what: format!("{}/{weights}", repo.id), problem })?;
            let shards = index.shards().into_iter().map(needed).collect::<Result<Vec<_>, _>>()?;
            files.extend(self.get(repo, &listing.commit, &shards, progress, stop)?);
        }
        let mut dir = self.options.cache.join("models");
        dir.push(format!("{}--{}", repo.id.replace('/', "--"), listing.commit));
        for file in &files {
            let path = dir.join(&file.entry.path);
            if !path.is_file() {
                std::fs::create_dir_all(&dir).at("create directory", &dir)?;
                std::fs::hard_link(self.blob(&file.entry.sha256), &path).at("link", &path)?;
            }
        }
        Ok((dir, files))
    }
}

fn listed<'a>(listing: &'a Listing, name: &str) -> Option<&'a Listed> {
    listing.files.iter().find(|listed| listed.path == name)
}
