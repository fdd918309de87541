//! Normalises a stretch of text as the library's normaliser would within the whole of it.
//!
//! A precompiled character map works on grapheme clusters: one of fewer than six bytes is looked up as a whole, longer
//! ones character by character. NFKC composes characters. So a character may be looked at alone only where it is known
//! not to join its neighbours; everything else is left to the library, a stretch at a time.

use std::sync::{LazyLock, OnceLock};

use regex::Regex;
use tokenizers::normalizer::Range;
use tokenizers::normalizers::{NormalizerWrapper, Precompiled};
use tokenizers::{NormalizedString, Normalizer as _};

/// Characters that may join their neighbours: into a grapheme cluster, or by composition. Those that Unicode had not
/// assigned when this table was made count as such: later tables may know better.
static JOINING: LazyLock<Regex> = LazyLock::new(|| {
    let breaks = ["CR", "Extend", "L", "Prepend", "Regional_Indicator", "SpacingMark", "T", "V", "ZWJ"];
    let breaks: String = breaks.iter().map(|name| format!(r"\p{{gcb={name}}}")).collect();
    Regex::new(&format!(r"^[{breaks}\p{{M}}\p{{Cn}}]$")).expect("a constant pattern")
});

/// Characters that join what follows, if only a space.
static PREPENDED: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"^[\p{gcb=Prepend}\p{Cn}]$").expect("a constant pattern"));

/// A grapheme cluster of this many bytes or more is looked up character by character.
const LONG_CLUSTER: usize = 6;

/// Characters of a table's page.
const PAGE: usize = 256;

/// What becomes of a character that stands alone.
#[derive(Debug, Clone, Copy)]
struct Entry(u32);

impl Entry {
    /// The character that it becomes, in the lowest bits.
    const CHARACTER: u32 = (1 << 21) - 1;
    /// It may join its neighbours.
    const JOINING: u32 = 1 << 21;
    /// It may join what follows, even a space.
    const PREPENDED: u32 = 1 << 22;
    /// It does not become exactly one character (or, under NFKC, may not be looked at alone).
    const SPECIAL: u32 = 1 << 23;
    /// It becomes nothing.
    const REMOVED: u32 = 1 << 24;
    /// What it becomes ends or begins a word.
    const BREAKING: u32 = 1 << 25;

    fn has(self, flag: u32) -> bool {
        self.0 & flag != 0
    }

    fn character(self) -> Option<char> {
        if self.has(Self::SPECIAL) { None } else { char::from_u32(self.0 & Self::CHARACTER) }
    }
}

/// A normaliser that is taken apart.
pub(super) struct Normalizer {
    library: NormalizerWrapper,
    pages: Box<[OnceLock<Box<[Entry; PAGE]>>]>,
}

/// A normalised text.
#[derive(Debug, Default)]
pub(super) struct Normalized {
    pub text: String,
    /// Where each byte of it comes from: begin and end of the original character or characters.
    pub origins: Vec<(u32, u32)>,
}

/// What a stretch of text became.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    /// It is a part of one word, as it stands.
    Word,
    /// It is as it stands, but may hold several words.
    None,
    /// Its new text is in the [`Normalized`].
    Some,
}

impl Normalizer {
    /// Takes `library` apart. `None` for any but precompiled character maps and NFKC, and where a space is not a space.
    pub(super) fn new(library: NormalizerWrapper) -> Option<Self> {
        if !matches!(library, NormalizerWrapper::Precompiled(_) | NormalizerWrapper::NFKC(_)) {
            return None;
        }
        let pages = std::iter::repeat_with(OnceLock::new).take(char::MAX as usize / PAGE + 1).collect();
        let normalizer = Self { library, pages };
        (normalizer.entry(' ').character() == Some(' ')).then_some(normalizer)
    }

    /// Whether `segment`, which stands between spaces or at the text's ends, is normalised the same wherever it stands.
    pub(super) fn independent(&self, segment: &str) -> bool {
        let first = segment.chars().next().map_or(Entry(0), |c| self.entry(c));
        let last = segment.chars().next_back().map_or(Entry(0), |c| self.entry(c));
        // What is removed at a text's very begin moves the library's offsets from there on.
        !first.has(Entry::JOINING | Entry::REMOVED) && !last.has(Entry::PREPENDED)
    }

    /// Normalises an [independent](Self::independent) segment into `out`.
    pub(super) fn segment(&self, segment: &str, out: &mut Normalized) -> tokenizers::Result<Change> {
        let (mut changed, mut breaking) = (false, false);
        let mut before = Entry(0);
        let mut before_width = 0;
        for character in segment.chars() {
            let (entry, width) = (self.entry(character), character.len_utf8());
            let apart = !before.has(Entry::JOINING) && !entry.has(Entry::JOINING);
            let special = entry.has(Entry::SPECIAL) && self.map().is_none();
            if special || (!apart && before_width + width < LONG_CLUSTER && before_width > 0) {
                return self.after_a_space(segment, out);
            }
            changed |= entry.character() != Some(character);
            breaking |= entry.has(Entry::BREAKING);
            (before, before_width) = (entry, width);
        }
        if changed {
            self.apply(segment, out);
            return Ok(Change::Some);
        }
        Ok(if breaking { Change::None } else { Change::Word })
    }

    /// The whole of `text` by the library.
    pub(super) fn whole(&self, text: &str, out: &mut Normalized) -> tokenizers::Result<()> {
        let mut normalized = NormalizedString::from(text);
        self.library.normalize(&mut normalized)?;
        out.text.clear();
        out.text.push_str(normalized.get());
        out.origins.clear();
        out.origins.extend((0..out.text.len()).map(|byte| {
            let origin = normalized.convert_offsets(Range::Normalized(byte..byte + 1)).unwrap_or_default();
            (origin.start as u32, origin.end as u32)
        }));
        Ok(())
    }

    /// `segment` by the library, as it is where a space is before it.
    fn after_a_space(&self, segment: &str, out: &mut Normalized) -> tokenizers::Result<Change> {
        self.whole(&format!(" {segment}"), out)?;
        out.text.remove(0);
        out.origins.remove(0);
        for origin in &mut out.origins {
            *origin = (origin.0.saturating_sub(1), origin.1.saturating_sub(1));
        }
        Ok(Change::Some)
    }

    /// `segment` by the character map, character by character, with the library's account of where bytes come from.
    fn apply(&self, segment: &str, out: &mut Normalized) {
        out.text.clear();
        out.origins.clear();
        // Bytes of the last character where it was added to what became of another one.
        let mut added = 0;
        for (begin, character) in segment.char_indices() {
            let origin = (begin as u32, (begin + character.len_utf8()) as u32);
            let entry = self.entry(character);
            if let Some(single) = entry.character() {
                out.text.push(single);
                added = 0;
            } else if entry.has(Entry::REMOVED) {
                // The library takes the removed character for the one that an added one replaces.
                let from = out.origins.len() - added;
                out.origins[from..].fill(origin);
                added = 0;
            } else {
                let text = self
                    .map()
                    .and_then(|map| map.transform(&segment[begin..begin + character.len_utf8()]))
                    .unwrap_or_default();
                out.text.push_str(text);
                added = text.chars().next_back().map_or(0, char::len_utf8);
            }
            out.origins.resize(out.text.len(), origin);
        }
    }

    fn map(&self) -> Option<&Precompiled> {
        match &self.library {
            NormalizerWrapper::Precompiled(map) => Some(map),
            _ => None,
        }
    }

    #[inline]
    fn entry(&self, character: char) -> Entry {
        let code = character as usize;
        self.pages[code / PAGE]
            .get_or_init(|| Box::new(std::array::from_fn(|low| self.look_up(code / PAGE * PAGE + low))))[code % PAGE]
    }

    fn look_up(&self, code: usize) -> Entry {
        // Surrogates are no characters: nobody asks.
        let Some(character) = u32::try_from(code).ok().and_then(char::from_u32) else { return Entry(0) };
        let mut buffer = [0; 4];
        let text: &str = character.encode_utf8(&mut buffer);
        let mut flags = 0;
        if JOINING.is_match(text) {
            flags |= Entry::JOINING;
        }
        if PREPENDED.is_match(text) {
            flags |= Entry::PREPENDED;
        }
        let new = match &self.library {
            NormalizerWrapper::Precompiled(map) => map.transform(text).unwrap_or(text).to_owned(),
            library => {
                let mut normalized = NormalizedString::from(text);
                match library.normalize(&mut normalized) {
                    Ok(()) if normalized.get() == text && flags == 0 => text.to_owned(),
                    _ => return Entry(flags | Entry::SPECIAL | Entry::BREAKING),
                }
            }
        };
        let mut characters = new.chars();
        match (characters.next(), characters.next()) {
            (None, _) => Entry(flags | Entry::SPECIAL | Entry::REMOVED),
            (Some(single), None) => {
                if single.is_whitespace() || single == super::MARK {
                    flags |= Entry::BREAKING;
                }
                Entry(flags | single as u32)
            }
            _ => Entry(flags | Entry::SPECIAL | Entry::BREAKING),
        }
    }
}
