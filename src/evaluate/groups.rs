//! Groups of languages whose mean is a number of its own.
//!
//! | group | languages |
//! |---|---|
//! | `all`, `non-english`, `english` | all, all but English, English |
//! | `english-gap` | English less the mean of the others: what is lost in transfer |
//! | `non-source`, `source`, `source-gap` | the same of a study whose source language is another ([`SourceNames`]) |
//! | `family=Uralic`, `script=Latin` | by family and main script |
//! | `resource=high`, `mid`, `low`, `none` | by the size of XLM-R's pretraining text ([`crate::task::Resource`]) |
//! | `pretraining=seen`, `unseen` | by whether there was any |
//!
//! The source language, in which every target is trained, is in none of the groups by trait: they are about transfer. Each language has the
//! same weight in a mean.

use std::collections::{BTreeMap, BTreeSet};

use crate::task::{SourceLanguage, Traits};

/// The names of the groups that follow from the source language.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SourceNames {
    /// That language alone.
    pub source: &'static str,
    /// All others.
    pub others: &'static str,
    /// The one less the mean of the others.
    pub gap: &'static str,
}

const ENGLISH: SourceNames = SourceNames { source: "english", others: "non-english", gap: "english-gap" };
const ANY: SourceNames = SourceNames { source: "source", others: "non-source", gap: "source-gap" };

impl SourceNames {
    /// Those in studies of this source language. They do not name another than English: tables of several studies can be asked for
    /// one group then.
    pub fn of(source: &SourceLanguage) -> Self {
        if source.is_default() { ENGLISH } else { ANY }
    }
}

/// Whether the group called `name` is the difference between the source language and the others.
pub fn is_gap(name: &str) -> bool {
    [ENGLISH, ANY].iter().any(|names| names.gap == name)
}

/// What languages are grouped by.
const TRAITS: [&str; 4] = ["family", "script", "resource", "pretraining"];

/// Some of the languages that a task was scored in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// As tables have it.
    pub name: String,
    /// The places of its languages among those scored; of a gap, of the source language.
    pub members: Vec<usize>,
    /// The places of those whose mean is subtracted: empty but in a gap.
    pub less: Vec<usize>,
    /// Codes of languages that belong to it and were not scored.
    pub missing: Vec<String>,
}

impl Group {
    /// The group's number from those of all scored languages.
    pub fn value(&self, languages: &[f64]) -> f64 {
        let mean = |places: &[usize]| places.iter().map(|&place| languages[place]).sum::<f64>() / places.len() as f64;
        if self.less.is_empty() {
            return mean(&self.members);
        }
        let gap = mean(&self.members) - mean(&self.less);
        // What rounding makes of equal numbers.
        if gap.abs() < 1e-9 { 0.0 } else { gap }
    }

    /// How many languages it is a mean of; in a gap, how many the source language is compared with.
    pub fn languages(&self) -> usize {
        if self.less.is_empty() { self.members.len() } else { self.less.len() }
    }

    /// The place of its only language; none where it has several.
    pub fn only(&self) -> Option<usize> {
        match (self.members.as_slice(), self.less.as_slice()) {
            ([only], []) => Some(*only),
            _ => None,
        }
    }
}

/// The groups of the languages `scored` that have a member, in the order of tables. `known` are the languages that the task
/// has; a scored one that it does not have is in the groups without a trait.
pub fn groups(scored: &[&str], known: &BTreeMap<String, Traits>, source: &SourceLanguage) -> Vec<Group> {
    let mut groups = plain(scored, known, source);
    let others: Vec<(&String, &Traits)> = known.iter().filter(|(code, _)| *code != source.code()).collect();
    for name in TRAITS {
        let values: BTreeSet<&str> = others.iter().map(|(_, traits)| trait_of(traits, name)).collect();
        for value in values {
            let members =
                others.iter().filter(|(_, traits)| trait_of(traits, name) == value).map(|(code, _)| code.as_str());
            groups.extend(group(format!("{name}={value}"), scored, members));
        }
    }
    groups
}

/// What `name`, one of [`TRAITS`], is in a language.
fn trait_of<'a>(traits: &'a Traits, name: &str) -> &'a str {
    match name {
        "family" => &traits.family,
        "script" => &traits.script,
        "resource" => traits.resource.name(),
        _ => traits.pretraining.name(),
    }
}

/// The groups that do not come from a trait, in the order of tables.
fn plain(scored: &[&str], known: &BTreeMap<String, Traits>, source: &SourceLanguage) -> Vec<Group> {
    let codes: BTreeSet<&str> = scored.iter().copied().chain(known.keys().map(String::as_str)).collect();
    let of = |name: &str, belongs: &dyn Fn(&str) -> bool| {
        group(name.to_owned(), scored, codes.iter().copied().filter(|code| belongs(code)))
    };
    let (names, is_source) = (SourceNames::of(source), |code: &str| code == source.code());
    let gap = of(names.gap, &|_| true).and_then(|whole| {
        let (members, less): (Vec<usize>, Vec<usize>) =
            whole.members.iter().partition(|place| is_source(scored[**place]));
        (!members.is_empty() && !less.is_empty()).then_some(Group { members, less, ..whole })
    });
    let plain = [of("all", &|_| true), of(names.others, &|code| !is_source(code)), of(names.source, &is_source), gap];
    plain.into_iter().flatten().collect()
}

/// None where no member was scored.
fn group<'a>(name: String, scored: &[&str], codes: impl Iterator<Item = &'a str>) -> Option<Group> {
    let (mut members, mut missing) = (Vec::new(), Vec::new());
    for code in codes {
        match scored.iter().position(|known| *known == code) {
            Some(place) => members.push(place),
            None => missing.push(code.to_owned()),
        }
    }
    members.sort_unstable();
    missing.sort_unstable();
    (!members.is_empty()).then_some(Group { name, members, less: Vec::new(), missing })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::Languages;

    fn known(codes: &[&str]) -> BTreeMap<String, Traits> {
        let all = Languages::parse(include_str!("../../data/languages.toml"), "data/languages.toml").unwrap();
        codes.iter().map(|code| ((*code).to_owned(), all.get(code).unwrap().traits())).collect()
    }

    #[test]
    fn languages_are_grouped_by_traits_without_english() {
        let scored = ["de", "en", "et", "fi", "sw", "yo"];
        let groups =
            groups(&scored, &known(&["en", "de", "fi", "et", "hu", "sw", "yo", "zh"]), &SourceLanguage::default());
        let shown: Vec<String> = groups
            .iter()
            .map(|group| {
                let names = |places: &[usize]| places.iter().map(|place| scored[*place]).collect::<Vec<_>>().join(" ");
                let less = if group.less.is_empty() { String::new() } else { format!(" - {}", names(&group.less)) };
                format!("{}: {}{less} ({})", group.name, names(&group.members), group.missing.join(" "))
            })
            .collect();
        assert_eq!(
            shown,
            [
                "all: de en et fi sw yo (hu zh)",
                "non-english: de et fi sw yo (hu zh)",
                "english: en ()",
                "english-gap: en - de et fi sw yo (hu zh)",
                "family=Indo-European: de ()",
                "family=Niger-Congo: sw yo ()",
                "family=Uralic: et fi (hu)",
                "script=Latin: de et fi sw yo (hu)",
                "resource=high: de fi (hu zh)",
                "resource=low: sw ()",
                "resource=mid: et ()",
                "resource=none: yo ()",
                "pretraining=seen: de et fi sw (hu zh)",
                "pretraining=unseen: yo ()",
            ]
        );
        let values = [50.0, 90.0, 40.0, 60.0, 30.0, 20.0];
        let value = |name: &str| groups.iter().find(|group| group.name == name).unwrap().value(&values);
        assert_eq!((value("english-gap"), value("family=Uralic"), value("english")), (50.0, 50.0, 90.0));
    }

    #[test]
    fn another_source_language_is_what_the_others_are_counted_from() {
        let (scored, source) = (["de", "en", "fi"], SourceLanguage::from("fi"));
        let groups = groups(&scored, &known(&["de", "en", "fi", "hu"]), &source);
        let shown: Vec<(&str, &[usize], &[usize])> =
            groups.iter().map(|group| (group.name.as_str(), &group.members[..], &group.less[..])).collect();
        assert_eq!(
            shown,
            [
                ("all", &[0, 1, 2][..], &[][..]),
                ("non-source", &[0, 1], &[]),
                ("source", &[2], &[]),
                ("source-gap", &[2], &[0, 1]),
                // Hungarian was not scored, and Finnish is none of the others.
                ("family=Indo-European", &[0, 1], &[]),
                ("script=Latin", &[0, 1], &[]),
                ("resource=high", &[0, 1], &[]),
                ("pretraining=seen", &[0, 1], &[]),
            ]
        );
        assert!(is_gap("source-gap") && is_gap("english-gap") && !is_gap("source"));
    }

    #[test]
    fn no_group_is_empty() {
        let names = |scored: &[&str]| {
            let groups = groups(scored, &known(&["en", "de"]), &SourceLanguage::default());
            groups.into_iter().map(|g| g.name).collect::<Vec<_>>()
        };
        assert_eq!(names(&["en"]), ["all", "english"]);
        // Fewer languages than the task has, and one that it has not.
        assert_eq!(names(&["ja"]), ["all", "non-english"]);
    }
}
