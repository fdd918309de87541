//! Groups of languages whose mean is a number of its own.
//!
//! | group | languages |
//! |---|---|
//! | `all`, `non-english`, `english` | all, all but English, English |
//! | `english-gap` | English less the mean of the others: what is lost in transfer |
//! | `family=Uralic`, `script=Latin` | by family and main script |
//! | `resource=high`, `mid`, `low`, `none` | by the size of XLM-R's pretraining text ([`crate::task::Resource`]) |
//! | `pretraining=seen`, `unseen` | by whether there was any |
//!
//! English, on which every task is trained, is in none of the groups by trait: they are about transfer. Each language has the
//! same weight in a mean.

use std::collections::{BTreeMap, BTreeSet};

use crate::task::Traits;

/// The groups' names that do not come from a trait, in the order of tables.
const PLAIN: [&str; 4] = ["all", "non-english", "english", "english-gap"];

/// What languages are grouped by.
const TRAITS: [&str; 4] = ["family", "script", "resource", "pretraining"];

/// The name of the group that is a difference.
pub const ENGLISH_GAP: &str = "english-gap";

/// Some of the languages that a task was scored in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// As tables have it.
    pub name: String,
    /// The places of its languages among those scored; of `english-gap`, of English.
    pub members: Vec<usize>,
    /// The places of those whose mean is subtracted: empty but in `english-gap`.
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

    /// How many languages it is a mean of; in `english-gap`, how many English is compared with.
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
pub fn groups(scored: &[&str], known: &BTreeMap<String, Traits>) -> Vec<Group> {
    let mut groups: Vec<Group> = PLAIN.iter().filter_map(|name| plain(name, scored, known)).collect();
    let others: Vec<(&String, &Traits)> = known.iter().filter(|(code, _)| *code != "en").collect();
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

fn plain(name: &str, scored: &[&str], known: &BTreeMap<String, Traits>) -> Option<Group> {
    let codes: BTreeSet<&str> = scored.iter().copied().chain(known.keys().map(String::as_str)).collect();
    let belongs = |code: &&str| match name {
        "non-english" => *code != "en",
        "english" => *code == "en",
        _ => true,
    };
    let whole = group(name.to_owned(), scored, codes.into_iter().filter(belongs))?;
    if name != ENGLISH_GAP {
        return Some(whole);
    }
    let (members, less): (Vec<usize>, Vec<usize>) = whole.members.iter().partition(|place| scored[**place] == "en");
    (!members.is_empty() && !less.is_empty()).then_some(Group { members, less, ..whole })
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
        let groups = groups(&scored, &known(&["en", "de", "fi", "et", "hu", "sw", "yo", "zh"]));
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
    fn no_group_is_empty() {
        let names =
            |scored: &[&str]| groups(scored, &known(&["en", "de"])).into_iter().map(|g| g.name).collect::<Vec<_>>();
        assert_eq!(names(&["en"]), ["all", "english"]);
        // Fewer languages than the task has, and one that it has not.
        assert_eq!(names(&["ja"]), ["all", "non-english"]);
    }
}
