//! Where answers stand in their context.

use crate::task::OffsetUnit;

/// The most characters by which cut-off blanks are taken to move answers. The widest such margin of TyDiQA's and XQuAD's
/// published contexts is 9.
const MARGIN: i64 = 16;

/// The byte offset of each answer in `context`, from its offset in `unit`. Where blanks were cut off, all answers of a question
/// move together, by the fewest characters that make each of them stand at its place.
///
/// # Errors
/// The message for an answer that does not stand where it is said to.
pub(super) fn stand(context: &str, texts: &[&str], starts: &[u32], unit: OffsetUnit) -> Result<Vec<u32>, String> {
    let found = moved(context, texts, starts, unit, 0);
    if found.is_ok() || unit != OffsetUnit::CodePointBeforeStrip {
        return found;
    }
    let near = (1..=MARGIN).flat_map(|by| [-by, by]).find_map(|by| moved(context, texts, starts, unit, by).ok());
    near.map_or(found, Ok)
}

/// The answers' byte offsets if they all stand `by` units behind where they are said to.
fn moved(context: &str, texts: &[&str], starts: &[u32], unit: OffsetUnit, by: i64) -> Result<Vec<u32>, String> {
    let one = |(text, start): (&&str, &u32)| {
        let begin = usize::try_from(i64::from(*start) + by).ok().and_then(|start| match unit {
            OffsetUnit::Byte => Some(start),
            _ if context.is_ascii() => Some(start),
            _ => context.char_indices().nth(start).map(|(byte, _)| byte),
        });
        let there = begin.and_then(|begin| context.get(begin..)).unwrap_or("");
        if text.is_empty() || !there.starts_with(text) {
            let there: String = there.chars().take(text.chars().count().max(1)).collect();
            let unit = if unit == OffsetUnit::Byte { "byte" } else { "character" };
            return Err(format!(
                "the answer \"{text}\" does not stand at {unit} {start} of its context, but \"{there}\" does"
            ));
        }
        begin.and_then(|begin| u32::try_from(begin).ok()).ok_or_else(|| "the context is longer than 4 GiB".to_owned())
    };
    texts.iter().zip(starts).map(one).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn offsets_before_stripping_are_found_again() {
        let stripped =
            |context, texts: &[&str], starts: &[u32]| stand(context, texts, starts, OffsetUnit::CodePointBeforeStrip);
        // Two blanks were cut off before the context, or one before the answer.
        assert_eq!(stripped("über 7 und 17", &["7", "17"], &[7, 13]), Ok(vec![6, 12]));
        assert_eq!(stripped("on August27,2017, 73 shows", &["7"], &[17]), Ok(vec![18]));
        assert_eq!(stripped("a 7 b 7", &["7"], &[6]), Ok(vec![6]));
        let lost = stripped("a b", &["c"], &[2]).unwrap_err();
        assert_eq!(lost, "the answer \"c\" does not stand at character 2 of its context, but \"b\" does");
        assert!(stand("x a", &["a"], &[3], OffsetUnit::CodePoint).is_err());
    }

    proptest! {
        #[test]
        fn stripping_a_context_moves_its_answers(blanks in 0usize..9, context in "[a-zä-ü]{2,6}( [a-zä-ü]{2,6}){0,9}", at in 0usize..60, length in 4usize..20) {
            let characters: Vec<char> = context.chars().collect();
            let at = at % characters.len();
            let text: String = characters[at..(at + length).min(characters.len())].iter().collect();
            let said = u32::try_from(at + blanks).unwrap();
            let found = stand(&context, &[&text], &[said], OffsetUnit::CodePointBeforeStrip).unwrap();
            prop_assert!(context[found[0] as usize..].starts_with(&text));
            let unmoved = stand(&format!("{}{context}", " ".repeat(blanks)), &[&text], &[said], OffsetUnit::CodePoint).unwrap();
            let moved = i64::from(unmoved[0]) - blanks as i64 - i64::from(found[0]);
            prop_assert!(moved == 0 || context.matches(text.as_str()).count() > 1);
        }
    }
}
