//! All task, suite, model and study files by name.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use super::{DataId, Language, Languages, Model, NoData, Study, Suite, SuiteTask, Task, TaskError};
use crate::error::IoContext;

mod embedded {
    include!(concat!(env!("OUT_DIR"), "/embedded.rs"));
}

/// Everything that `pipeline/` and `--tasks` directories define.
#[derive(Debug, Clone)]
pub struct Registry {
    tasks: BTreeMap<String, Task>,
    views: Views,
    suites: BTreeMap<String, Suite>,
    models: BTreeMap<String, Model>,
    studies: BTreeMap<String, Study>,
    languages: Languages,
}

impl Registry {
    /// The files embedded in the binary, then every `*.toml` below each of `directories` (sub-folders `suites`, `models` and
    /// `studies` hold suites, models and studies, everything else tasks); a later file replaces an earlier one of the same id.
    pub fn load(directories: &[PathBuf]) -> Result<Self, TaskError> {
        let languages = Languages::parse(include_str!("../../data/languages.toml"), "data/languages.toml")?;
        let mut registry = Self {
            tasks: BTreeMap::new(),
            views: Views::default(),
            suites: BTreeMap::new(),
            models: BTreeMap::new(),
            studies: BTreeMap::new(),
            languages,
        };
        for (path, text) in embedded::FILES {
            registry.add(path, text)?;
        }
        for directory in directories {
            let mut pending = vec![directory.clone()];
            let mut files = Vec::new();
            while let Some(folder) = pending.pop() {
                for entry in std::fs::read_dir(&folder).at("read directory", &folder)? {
                    let path = entry.at("read directory", &folder)?.path();
                    if path.is_dir() {
                        pending.push(path);
                    } else if path.extension().is_some_and(|e| e == "toml") {
                        files.push(path);
                    }
                }
            }
            files.sort();
            for path in files {
                let text = std::fs::read_to_string(&path).at("read", &path)?;
                registry.add(&path.to_string_lossy(), &text)?;
            }
        }
        registry.check_names()?;
        Ok(registry)
    }

    fn add(&mut self, path: &str, text: &str) -> Result<(), TaskError> {
        let stem = Path::new(path).file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default();
        let folder = Path::new(path).parent().and_then(Path::file_name).unwrap_or_default();
        let id = if folder == "models" {
            let model = Model::parse(text, path)?;
            let id = model.id.clone();
            self.models.insert(id.clone(), model);
            id
        } else if folder == "suites" {
            let suite = Suite::parse(text, path)?;
            let id = suite.id.clone();
            self.suites.insert(id.clone(), suite);
            id
        } else if folder == "studies" {
            let study = Study::parse(text, path)?;
            let id = study.id.clone();
            self.studies.insert(id.clone(), study);
            id
        } else {
            let task = Task::parse(text, path)?;
            let id = task.id.clone();
            self.tasks.insert(id.clone(), task);
            id
        };
        if id != stem {
            let message = format!("its id is `{id}`, but the file is named `{stem}.toml`");
            return Err(TaskError::Invalid { origin: path.to_owned(), message });
        }
        Ok(())
    }

    fn check_names(&self) -> Result<(), TaskError> {
        for task in self.tasks.values() {
            for code in &task.languages {
                self.language(code, &task.id)?;
            }
            if let Some(suite) = task.suites.iter().find(|suite| self.suites.contains_key(*suite)) {
                let message = format!(
                    "`suites` names `{suite}`, whose own file says which tasks it has: leave it out here, and name the task there \
                     (a copy of a shipped suite goes to suites/{suite}.toml below --tasks)"
                );
                return Err(TaskError::Invalid { origin: task.id.clone(), message });
            }
            if let Some(train) = &task.train {
                self.task(train, &task.id)?;
            }
            for name in &task.parts {
                let wrong = |message| TaskError::Invalid { origin: task.id.clone(), message };
                let part = self.task(name, &task.id)?;
                if part.transform().is_some() {
                    return Err(wrong(format!("its part `{name}` is a view; name tasks that have a file")));
                }
                fits(task, part).map_err(wrong)?;
            }
        }
        for study in self.studies.values() {
            self.language(study.source.code(), &format!("`source` of study {}", study.id))?;
        }
        for suite in self.suites.values() {
            let origin = format!("suite {}", suite.id);
            let wrong = |message| TaskError::Invalid { origin: origin.clone(), message };
            if self.tasks.contains_key(&suite.id) {
                return Err(wrong(format!("`{}` is a task: give the suite another id", suite.id)));
            }
            if let Some(view) = suite.tasks.iter().find(|task| task.id.contains(DataId::VIEW)) {
                return Err(wrong(format!("`tasks` names the view `{}`; name tasks that have a file", view.id)));
            }
            for SuiteTask { id, languages, .. } in &suite.tasks {
                self.task(id, &format!("`tasks` of {origin}"))?;
                for code in languages {
                    self.language(code, &format!("`languages` of task `{id}` of {origin}"))?;
                }
            }
        }
        Ok(())
    }

    /// The task called `name`, which `origin` asked for: one with a file, or a view of one.
    pub fn task(&self, name: &str, origin: &str) -> Result<&Task, TaskError> {
        if let Some(task) = self.tasks.get(name) {
            return Ok(task);
        }
        if !name.contains(DataId::VIEW) {
            return find(&self.tasks, "task", name, origin);
        }
        let wrong = |e: NoData| TaskError::Invalid { origin: origin.to_owned(), message: e.to_string() };
        let id: DataId = name.parse().map_err(wrong)?;
        let (of, _) = id.view().expect("an id with `~` is a view's");
        let of = self.task(of.as_str(), origin)?;
        Ok(self.views.get_or_add(&id, || of.as_view(&id)))
    }

    /// The suite called `name`, which `origin` asked for.
    pub fn suite(&self, name: &str, origin: &str) -> Result<&Suite, TaskError> {
        find(&self.suites, "suite", name, origin)
    }

    /// The model called `name`, which `origin` asked for.
    pub fn model(&self, name: &str, origin: &str) -> Result<&Model, TaskError> {
        find(&self.models, "model", name, origin)
    }

    /// The study called `name`, which `origin` asked for.
    pub fn study(&self, name: &str, origin: &str) -> Result<&Study, TaskError> {
        find(&self.studies, "study", name, origin)
    }

    /// The language with the ISO 639-1 code `code`, which `origin` asked for.
    pub fn language(&self, code: &str, origin: &str) -> Result<&Language, TaskError> {
        self.languages.get(code).ok_or_else(|| TaskError::Unknown {
            origin: origin.to_owned(),
            kind: "language",
            name: code.to_owned(),
            known: self.languages.iter().map(|l| l.code.as_str()).collect::<Vec<_>>().join(" "),
        })
    }

    /// All tasks that have a file, by id.
    pub fn tasks(&self) -> impl Iterator<Item = &Task> {
        self.tasks.values()
    }

    /// Whether `task` is made of the task called `id`, be it by way of others.
    pub fn is_made_of(&self, task: &Task, id: &str) -> bool {
        let part = |name: &String| self.task(name, &task.id).is_ok_and(|part| self.is_made_of(part, id));
        task.made_of().iter().any(|name| name == id || part(name))
    }

    /// All suites by id.
    pub fn suites(&self) -> impl Iterator<Item = &Suite> {
        self.suites.values()
    }

    /// The tasks of `suite`, which is one of these, in its order.
    pub fn tasks_of<'a>(&'a self, suite: &'a Suite) -> impl Iterator<Item = (&'a SuiteTask, &'a Task)> {
        // All are known, or the registry could not be loaded.
        suite.tasks.iter().filter_map(|of_suite| Some((of_suite, self.tasks.get(&of_suite.id)?)))
    }

    /// The names by which `task` can be chosen as one of several: those of its own file, and the suites that have it.
    pub fn suites_of<'a>(&'a self, task: &'a Task) -> impl Iterator<Item = &'a str> {
        let suites = self.suites.values().filter(|suite| suite.has(&task.id));
        task.suites.iter().map(String::as_str).chain(suites.map(|suite| suite.id.as_str()))
    }

    /// The languages in which `task` is read for the suite called `suite`; its own where none is named, or one without a file.
    pub fn languages_of(&self, task: &Task, suite: Option<&str>) -> Vec<String> {
        let suite = suite.and_then(|name| self.suites.get(name)).filter(|suite| suite.has(&task.id));
        suite.map_or_else(|| task.languages.clone(), |suite| suite.languages_to_read(task))
    }

    /// The languages that suites evaluate `task` in and its own file does not list.
    pub fn added_languages(&self, task: &Task) -> BTreeSet<&str> {
        let of_suites = self.suites.values().flat_map(|suite| suite.languages(DataId::from(task).task()));
        of_suites.filter(|code| !task.languages.contains(code)).map(String::as_str).collect()
    }

    /// All languages.
    pub fn languages(&self) -> &Languages {
        &self.languages
    }
}

/// Views that were asked for, in that order. They are only ever added, so that references to them stay good.
#[derive(Debug, Clone, Default)]
struct Views(OnceLock<Box<(Task, Views)>>);

impl Views {
    fn get_or_add(&self, id: &DataId, make: impl Fn() -> Task) -> &Task {
        let mut rest = self;
        loop {
            let (task, next) = &**rest.0.get_or_init(|| Box::new((make(), Views::default())));
            if task.id == id.as_str() {
                return task;
            }
            rest = next;
        }
    }
}

/// Whether the examples of `part` can be examples of `whole`.
fn fits(whole: &Task, part: &Task) -> Result<(), String> {
    let id = &part.id;
    if !part.parts.is_empty() {
        return Err(format!("its part `{id}` has parts itself; name those instead"));
    }
    if part.format != whole.format {
        return Err(format!("its part `{id}` is {}, but it is {}", part.format, whole.format));
    }
    if part.labels != whole.labels || part.open_labels != whole.open_labels {
        let labels = part.labels.join(", ");
        return Err(format!("its part `{id}` has other labels, or in another order: {labels}"));
    }
    match part.languages.iter().find(|code| !whole.languages.contains(code)) {
        Some(code) => Err(format!("its part `{id}` has language {code}, which it lacks")),
        None => Ok(()),
    }
}

fn find<'a, T>(map: &'a BTreeMap<String, T>, kind: &'static str, name: &str, origin: &str) -> Result<&'a T, TaskError> {
    map.get(name).ok_or_else(|| TaskError::Unknown {
        origin: origin.to_owned(),
        kind,
        name: name.to_owned(),
        known: map.keys().map(String::as_str).collect::<Vec<_>>().join(", "),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_embedded_files_are_valid_and_name_only_what_exists() {
        let registry = Registry::load(&[]).unwrap();
        assert!(!registry.studies.is_empty());
        for study in registry.studies.values() {
            registry.model(&study.model, &study.id).unwrap();
            let pretrain = study.pretrain.iter().map(|pretrain| &pretrain.task);
            for task in pretrain.chain(study.intermediate.values().flatten()).chain(&study.targets) {
                registry.task(task, &study.id).unwrap();
            }
        }
        assert!(registry.languages().iter().count() >= 50);
    }

    #[test]
    fn shipped_suites_have_their_tasks_in_all_of_the_tasks_languages() {
        let registry = Registry::load(&[]).unwrap();
        assert_eq!(registry.suites().map(|suite| suite.id.as_str()).collect::<Vec<_>>(), ["xtreme", "xtreme-r"]);
        for suite in registry.suites() {
            let grouped: BTreeSet<&String> = suite.groups.iter().flat_map(|group| &group.tasks).collect();
            assert_eq!(grouped, suite.tasks.iter().map(|task| &task.id).collect(), "{}", suite.id);
            for (of_suite, task) in registry.tasks_of(suite) {
                let has = |code: &String| task.shares_index() || of_suite.languages.contains(code);
                assert!(task.languages.iter().all(has), "{} {}", suite.id, task.id);
            }
        }
        let counts = |suite: &str| {
            let suite = registry.suite(suite, "").unwrap();
            ["panx", "udpos", "tatoeba", "xquad"].map(|task| suite.languages(task).len())
        };
        assert_eq!((counts("xtreme"), counts("xtreme-r")), ([40, 33, 36, 11], [48, 38, 41, 12]));
        let languages = |task: &str, suite| registry.languages_of(registry.task(task, "").unwrap(), suite).len();
        assert_eq!((languages("xquad", None), languages("xquad", Some("xtreme-r"))), (11, 12));
        // Eleven languages have queries, fifty have what they search.
        assert_eq!(languages("mewslix", Some("xtreme-r")), 50);
        let of = |task: &str| registry.suites_of(registry.task(task, "").unwrap()).collect::<Vec<_>>();
        assert_eq!((of("xnli"), of("mnli")), (vec!["xtreme", "xtreme-r"], vec!["intermediate"]));
        let added = registry.added_languages(registry.task("xquad", "").unwrap());
        assert_eq!(added.into_iter().collect::<Vec<_>>(), ["ro"]);
    }

    #[test]
    fn a_suite_names_what_there_is() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("suites");
        std::fs::create_dir(&folder).unwrap();
        let load = |task: &str, language: &str| {
            let text = format!(
                "id = \"house\"\ntitle = \"House\"\ngroups = []\n[[tasks]]\nid = \"{task}\"\nlanguages = [\"{language}\"]\n"
            );
            std::fs::write(folder.join("house.toml"), text).unwrap();
            Registry::load(&[dir.path().to_owned()]).map_err(|e| e.to_string())
        };
        let registry = load("xnli", "lt").unwrap();
        let xnli = registry.task("xnli", "").unwrap();
        assert_eq!(registry.languages_of(xnli, Some("house")), ["lt"]);
        assert_eq!(registry.suites_of(xnli).collect::<Vec<_>>(), ["house", "xtreme", "xtreme-r"]);
        let unknown = load("glue", "de").unwrap_err();
        assert!(unknown.starts_with("`tasks` of suite house names an unknown task `glue`"), "{unknown}");
        let unknown = load("xnli", "tlh").unwrap_err();
        assert!(
            unknown.starts_with("`languages` of task `xnli` of suite house names an unknown language `tlh`"),
            "{unknown}"
        );
        load("xnli", "de").unwrap();
        let task = include_str!("../../pipeline/tasks/xtreme/xnli.toml");
        std::fs::write(dir.path().join("xnli.toml"), task.replace("license", "suites = [\"house\"]\nlicense")).unwrap();
        let twice = Registry::load(&[dir.path().to_owned()]).unwrap_err().to_string();
        assert!(twice.contains("xnli is not valid: `suites` names `house`, whose own file"), "{twice}");
    }

    #[test]
    fn a_paper_on_arxiv_is_dated_by_its_number_and_has_authors() {
        let registry = Registry::load(&[]).unwrap();
        let dated = |task: &&Task| task.citation.starts_with("arXiv:") && task.parts.is_empty();
        for task in registry.tasks().filter(dated) {
            let number = &task.citation["arXiv:".len()..];
            assert_eq!(task.published, format!("20{}-{}", &number[..2], &number[2..4]), "{}", task.id);
            assert!(!task.authors.is_empty(), "{}", task.id);
        }
        // Every dataset has a page but the one that is put together here.
        let nowhere = registry.tasks().filter(|task| task.source.hub.is_none() && task.homepage.is_empty());
        assert_eq!(nowhere.map(|task| task.id.as_str()).collect::<Vec<_>>(), ["anli_plus"]);
    }

    #[test]
    fn the_parts_of_a_task_must_fit() {
        let dir = tempfile::tempdir().unwrap();
        let whole = |parts: &str| {
            format!(
                "id = \"whole\"\nformat = \"pair-classification\"\nrole = \"intermediate\"\nlicense = \"CC0\"\n\
                 labels = [\"entailment\", \"neutral\", \"contradiction\"]\nparts = {parts}\n"
            )
        };
        let load = |text: &str| {
            std::fs::write(dir.path().join("whole.toml"), text).unwrap();
            Registry::load(&[dir.path().to_owned()]).map(|_| ()).map_err(|e| e.to_string())
        };
        load(&whole("[\"mnli\", \"snli\"]")).unwrap();
        for (text, says) in [
            (whole("[\"nothing\"]"), "unknown task `nothing`"),
            (whole("[\"anli_plus\"]"), "has parts itself"),
            (whole("[\"commonsenseqa\"]"), "is multiple-choice"),
            (whole("[\"qqp\"]"), "other labels"),
            (whole("[\"mnli_translated\"]"), "has language"),
            (whole("[\"mnli\", \"mnli\"]"), "names a task twice"),
            (whole("[\"mnli\"]\nnormalize = { sql = \"SELECT 1\" }"), "takes no [source]"),
        ] {
            let message = load(&text).unwrap_err();
            assert!(message.contains(says) && message.contains("whole"), "{message}");
        }
    }
}
