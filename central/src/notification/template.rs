//! Texts in four languages, each in a file of its own.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use serde::Deserialize;

use super::{Kind, Text};

/// The longest short text, in characters: four parts of an SMS.
const SHORT_CHARS_MAX: usize = 459;

/// A language that messages are written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Language {
    /// English.
    En,
    /// French.
    Fr,
    /// Swahili.
    Sw,
    /// Bemba.
    Bem,
}

impl Language {
    /// Every language.
    pub const ALL: [Self; 4] = [Self::En, Self::Fr, Self::Sw, Self::Bem];

    /// Its BCP 47 tag.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::En => "en",
            Self::Fr => "fr",
            Self::Sw => "sw",
            Self::Bem => "bem",
        }
    }

    /// The language of a tag like `fr-CD`.
    pub fn of_tag(tag: &str) -> Option<Self> {
        let first = tag.split(['-', '_']).next().unwrap_or_default();
        let mut all = Self::ALL.into_iter();
        all.find(|language| language.as_str().eq_ignore_ascii_case(first))
    }

    const fn file(self) -> &'static str {
        match self {
            Self::En => include_str!("templates/en.toml"),
            Self::Fr => include_str!("templates/fr.toml"),
            Self::Sw => include_str!("templates/sw.toml"),
            Self::Bem => include_str!("templates/bem.toml"),
        }
    }
}

/// One template.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Template {
    title: String,
    short: String,
    long: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    /// Whether a speaker of the language has read it.
    checked: bool,
    kinds: BTreeMap<String, Template>,
}

type Files = BTreeMap<Language, File>;

fn files() -> &'static Files {
    static FILES: OnceLock<Files> = OnceLock::new();
    FILES.get_or_init(|| {
        // A test reads each of them; one that did not parse would be told in English.
        let read = Language::ALL.map(|language| {
            let file = toml::from_str(language.file()).ok();
            file.map(|file| (language, file))
        });
        read.into_iter().flatten().collect()
    })
}

/// Whether a speaker has read the language's texts.
pub(super) fn is_checked(language: Language) -> bool {
    files().get(&language).is_some_and(|file| file.checked)
}

/// What a template says there.
pub(super) type Facts = BTreeMap<&'static str, String>;

/// The text of a message. A kind that a language lacks is told in English.
pub(super) fn render(kind: Kind, language: Language, facts: &Facts) -> Text {
    let found = [language, Language::En].into_iter().find_map(|language| {
        let file = files().get(&language)?;
        file.kinds.get(kind.as_str())
    });
    let Some(template) = found else {
        let title = kind.as_str().replace('_', " ");
        return Text {
            short: title.clone(),
            long: title.clone(),
            title,
        };
    };
    let short = super::rules::gsm_form(&filled(&template.short, facts));
    Text {
        title: filled(&template.title, facts),
        short: short.chars().take(SHORT_CHARS_MAX).collect(),
        long: filled(&template.long, facts),
    }
}

/// With a fact in the place of each `{name}`. What a fact says is never read as a template.
fn filled(template: &str, facts: &Facts) -> String {
    let mut out = String::with_capacity(template.len() + 64);
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        out.push_str(before);
        let Some((name, after)) = after.split_once('}') else {
            break;
        };
        let fact = facts.get(name).map_or("", String::as_str);
        out.extend(fact.chars().filter(|c| !c.is_control() || *c == '\n'));
        rest = after;
    }
    out.push_str(rest);
    out.trim().to_owned()
}

/// The facts of a preview.
pub(super) fn examples(kind: Kind) -> Facts {
    let facts = kind.facts().iter();
    facts
        .map(|(name, value)| (*name, (*value).to_owned()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> Vec<&str> {
        text.split('{')
            .skip(1)
            .map(|rest| rest.split_once('}').expect("it is closed").0)
            .collect()
    }

    #[test]
    fn every_language_says_everything_and_names_only_facts_that_there_are() {
        for language in Language::ALL {
            let file: File = toml::from_str(language.file()).unwrap();
            assert_eq!(file.kinds.len(), Kind::ALL.len(), "{language:?}");
            for kind in Kind::ALL {
                let template = &file.kinds[kind.as_str()];
                for text in [&template.title, &template.short, &template.long] {
                    assert!(!text.trim().is_empty(), "{language:?} {kind:?}");
                    for name in names(text) {
                        let known = kind.facts().iter().any(|(fact, _)| *fact == name);
                        assert!(known, "{language:?} {kind:?}: {{{name}}}");
                    }
                }
                // What a reader needs most stands in the short text of every language.
                let english = files()[&Language::En].kinds[kind.as_str()].short.as_str();
                let (mut wanted, mut said) = (names(english), names(&template.short));
                wanted.sort_unstable();
                said.sort_unstable();
                assert_eq!(said, wanted, "{language:?} {kind:?}");
                let text = render(kind, language, &examples(kind));
                assert!(text.short.chars().count() <= 306, "{language:?} {kind:?}");
                assert!(!text.long.contains('{'), "{text:?}");
            }
        }
    }

    #[test]
    fn only_texts_that_a_speaker_has_read_count_as_checked() {
        assert!(is_checked(Language::En));
        for language in [Language::Fr, Language::Sw, Language::Bem] {
            let head = language.file().lines().next().unwrap();
            assert!(
                !is_checked(language) && head.contains("not checked"),
                "{head}"
            );
        }
    }

    #[test]
    fn what_a_fact_says_is_no_template() {
        let mut facts = examples(Kind::NodeBack);
        facts.insert("node", "{company}\u{7}{".to_owned());
        let text = render(Kind::NodeBack, Language::En, &facts);
        assert!(text.short.contains("{company}{"), "{text:?}");
        assert_eq!(Language::of_tag("fr-CD"), Some(Language::Fr));
        assert_eq!(Language::of_tag("pt"), None);
    }
}
