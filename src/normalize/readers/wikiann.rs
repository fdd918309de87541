//! WikiANN as PAN-X is shipped: `xx:word TAB tag` lines, read as XTREME's preparation reads them, so that counts compare:
//! what stands before the first `:` is the language and is cut off, a line of two columns without a `:` is left out, and any
//! line that has not two columns ends the sentence.

use super::{Batches, Lines, NormalizeError, RawPart, Sentences, batch, batches};
use crate::shard::BATCH_ROWS;

/// Reads `part` into `words` and `tags`.
pub(super) fn open(part: &RawPart) -> Result<Batches, NormalizeError> {
    let mut lines = Lines::open(part)?;
    let mut sentences = Sentences::new();
    let mut tokens: Vec<(String, String)> = Vec::new();
    let mut prefixed = false;
    let mut bare: Option<String> = None;
    Ok(batches(move || {
        while sentences.len() < BATCH_ROWS {
            let line = lines.next()?;
            let columns = line.and_then(|line| line.trim().split_once('\t')).filter(|(_, tag)| !tag.contains('\t'));
            if let Some((token, tag)) = columns {
                match token.split_once(':') {
                    Some((_, word)) => tokens.push((word.trim().to_owned(), tag.trim().to_owned())),
                    None => drop(bare.get_or_insert_with(|| token.to_owned())),
                }
                continue;
            }
            let over = line.is_none();
            if !tokens.is_empty() {
                prefixed = true;
                sentences.push(tokens.iter().map(|(word, tag)| (word.as_str(), tag.as_str())));
                tokens.clear();
            }
            if over {
                break;
            }
        }
        // Where no word at all has a prefix, this is another format.
        if let Some(token) = bare.take_if(|_| !prefixed) {
            let message =
                format!("no word has a language prefix as in `en:{token}`; read such files with token-tag-tsv");
            return Err(NormalizeError::content(&lines.path, message));
        }
        Ok(batch(sentences.finish()))
    }))
}
