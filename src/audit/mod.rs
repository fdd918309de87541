//! What canonical tables hold, and what they share: counts and lengths a table ([`profile`]), and texts of evaluation
//! data that training data hold as well ([`overlap`]).
//!
//! Two texts are the same here when their *folded words* are the same: compatibility-normalised (NFKC), in lower case,
//! without punctuation and white space. A letter of a script that is written without spaces between words (Han,
//! Hiragana, Katakana, Thai, Lao, Khmer, Myanmar) is a word of its own, so that "13 words" means 13 characters there.
//! Words and texts are compared by 64-bit hashes: among ten million texts of evaluation data and a hundred million of
//! training data, one wrong match is expected in about twenty thousand audits.
//!
//! Everything streams. A profile sees duplicates in bounded memory; an overlap remembers the evaluation side alone,
//! whatever the size of the training data. No result depends on the number of threads.

mod error;
mod fold;
mod index;
mod overlap;
mod profile;
mod texts;

#[cfg(test)]
mod fixture;

pub use error::AuditError;
pub use overlap::{AuditTable, GRAM, Overlap, OverlapOutcome, OverlapRequest, overlap};
pub use profile::{Labels, Profile, ProfileOutcome, ProfileRequest, TokenCounts, TokenProfile, profile};
