//! The registry: what to do, as data. Task, suite, model and study files from `pipeline/` (embedded in the binary), and from
//! any directory given with `--tasks`, parsed and validated. This module never touches the network or a dataset.
//!
//! A task says where its raw files are ([`Sources`]), how a raw row becomes a canonical row ([`Normalize`]: one SQL
//! statement), and what is measured. A task in a known format needs no Rust.

mod coordinates;
mod error;
mod file;
mod language;
mod metric;
mod model;
mod registry;
mod scaffold;
mod source;
mod split;
mod study;
mod suite;

pub use coordinates::{
    Coordinates, DataId, NoData, Place, TransformName, parse_seed, print_seed, study_folder, study_of, target_folder,
    target_of,
};
pub use error::TaskError;
pub use file::{Format, Role, Task};
pub use language::{Language, Languages, Pretraining, Resource, SourceLanguage, Traits};
pub use metric::Metric;
pub use model::{
    EncoderSizes, EncoderSource, FromScratch, Lengths, Model, Pooling, RetrievalSettings, TokenizerSource,
};
pub use registry::Registry;
pub use scaffold::{ExampleFile, Scaffold};
pub use source::{DirectorySource, FileSpec, HubSource, Normalize, OffsetUnit, Reader, Sources};
pub use split::{Expected, Sketch, Split};
pub use study::{CHANCE, CHECK, Edition, IMPORTED, NONE, Pretrain, Study, TASKS};
pub use suite::{ALL_TASKS, Suite, SuiteGroup, SuiteTask};
