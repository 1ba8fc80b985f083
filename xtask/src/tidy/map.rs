//! A map that names a room which is not there misleads: every folder that ARCHITECTURE.md names
//! must hold something.
//!
//! Two notations are understood. In a fenced block, a line whose first word ends in `/` names a
//! folder, inside the less indented one above it. Elsewhere, an inline code span that ends in `/`
//! and does not begin with it names a folder: from the root, or inside the first one that its line
//! names (or inside that one's `src/`).

use super::SourceFile;

const MAP: &str = "ARCHITECTURE.md";

/// Folders of the map that hold no file, or the map itself when it is missing or empty.
pub fn check(files: &[SourceFile]) -> Vec<String> {
    let Some(map) = files.iter().find(|file| file.path == MAP) else {
        return vec![format!(
            "{MAP}: missing: nobody finds their way without the map"
        )];
    };
    let folders = folders_of(&map.text);
    if folders.is_empty() {
        return vec![format!("{MAP}: names no folder; write them as `folder/`")];
    }
    folders
        .iter()
        .filter(|(_, places)| {
            !places
                .iter()
                .any(|place| files.iter().any(|file| file.path.starts_with(place)))
        })
        .map(|(line, places)| {
            let folder = places.last().map_or("", String::as_str);
            format!("{MAP}:{line}: `{folder}` holds nothing: build it or take it off the map")
        })
        .collect()
}

/// Line number and the places where the folder may be, each ending in `/`, as written last.
fn folders_of(text: &str) -> Vec<(usize, Vec<String>)> {
    let mut found = Vec::new();
    let mut in_fence = false;
    let mut parents: Vec<(usize, String)> = Vec::new();
    for (index, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            in_fence = !in_fence;
            parents.clear();
        } else if in_fence {
            let bare: String = line
                .chars()
                .map(|c| if "│├└─|`".contains(c) { ' ' } else { c })
                .collect();
            let indent = bare.len() - bare.trim_start().len();
            let Some(name) = bare.split_whitespace().next().filter(|w| is_folder(w)) else {
                continue;
            };
            parents.retain(|(depth, _)| *depth < indent);
            let base = parents.last().map_or("", |(_, path)| path.as_str());
            let path = format!("{base}{name}");
            found.push((index + 1, vec![path.clone()]));
            parents.push((indent, path));
        } else {
            let mut first: Option<&str> = None;
            for span in line.split('`').skip(1).step_by(2).filter(|s| is_folder(s)) {
                let mut places = Vec::new();
                if let Some(first) = first {
                    places.push(format!("{first}{span}"));
                    places.push(format!("{first}src/{span}"));
                }
                places.push(span.to_owned());
                found.push((index + 1, places));
                first = first.or(Some(span));
            }
        }
    }
    found
}

fn is_folder(word: &str) -> bool {
    word.ends_with('/')
        && !word.starts_with('/')
        && !word.contains("//")
        && word
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "/_-.".contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn project(map: &str, paths: &[&str]) -> Vec<SourceFile> {
        let mut files: Vec<SourceFile> = paths
            .iter()
            .map(|path| SourceFile {
                path: (*path).to_owned(),
                text: String::new(),
            })
            .collect();
        files.push(SourceFile {
            path: MAP.to_owned(),
            text: map.to_owned(),
        });
        files
    }

    #[test]
    fn folders_are_read_from_trees_and_from_code_spans() {
        let text = "\
The hub is `central/`, see `tests/sim/src/ops.rs` and `https://x.org/`.
```
domain/        pure; edges/ -> store/
central/
  src/         the services
    ledger/
tests/
├── sim/
└── system/
```
";
        let names: Vec<String> = folders_of(text)
            .into_iter()
            .filter_map(|(_, mut places)| places.pop())
            .collect();
        assert_eq!(
            names,
            [
                "central/",
                "domain/",
                "central/",
                "central/src/",
                "central/src/ledger/",
                "tests/",
                "tests/sim/",
                "tests/system/"
            ]
        );
    }

    #[test]
    fn a_folder_that_holds_nothing_is_named_with_its_line() {
        let files = project("one\n`domain/` and `web/`\n", &["domain/src/lib.rs"]);
        let found = check(&files);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(
            found[0].starts_with("ARCHITECTURE.md:2: `web/`"),
            "{found:?}"
        );
    }

    #[test]
    fn a_line_names_the_rooms_of_its_first_folder_without_repeating_it() {
        let map = "| `edge-node/` | `engine/` over `store/` |\n";
        let engine = "edge-node/src/engine/sell.rs";
        assert!(check(&project(map, &[engine, "edge-node/src/store/log.rs"])).is_empty());
        let found = check(&project(map, &[engine, "central/src/store/log.rs"]));
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].contains("`store/`"), "{found:?}");
    }

    #[test]
    fn a_missing_or_empty_map_is_a_finding() {
        assert_eq!(check(&[]).len(), 1);
        assert_eq!(check(&project("words only", &[])).len(), 1);
        assert!(check(&project("`domain/`", &["domain/a"])).is_empty());
    }
}
