//! Links and names of pages lead somewhere.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Component, Path, PathBuf};

use super::page::{files_below, pages_below, read, root};

/// The pages with the links to follow.
fn pages() -> Vec<String> {
    let mut pages = pages_below("docs");
    for page in [
        "README.md",
        "ARCHITECTURE.md",
        "CHANGELOG.md",
        "CODE_STYLE.md",
        "CONTRIBUTING.md",
        "SECURITY.md",
        "bench/README.md",
        "fuzz/README.md",
        "migrations/README.md",
    ] {
        pages.push(page.to_owned());
    }
    pages
}

#[test]
fn every_link_of_a_page_leads_to_a_file_and_a_heading() {
    let mut followed = 0;
    for page in pages() {
        for link in links(&read(&page)) {
            if link.contains("://") || link.starts_with("mailto:") {
                continue;
            }
            let (path, anchor) = link.split_once('#').unwrap_or((&link, ""));
            let target = if path.is_empty() {
                PathBuf::from(&page)
            } else {
                resolved(Path::new(&page), path)
            };
            assert!(root().join(&target).exists(), "{page}: {link}");
            if !anchor.is_empty() {
                let anchors = anchors(&read(target.to_str().unwrap()));
                assert!(anchors.contains(anchor), "{page}: {link}");
            }
            followed += 1;
        }
    }
    assert!(followed > 200, "{followed}");
}

#[test]
fn the_index_lists_every_page() {
    let index = "docs/README.md";
    let linked: BTreeSet<_> = links(&read(index))
        .iter()
        .map(|link| resolved(Path::new(index), link))
        .collect();
    for page in pages_below("docs") {
        if page != index && !page.starts_with("docs/adr/") {
            assert!(
                linked.contains(Path::new(&page)),
                "{index} does not list {page}"
            );
        }
    }
}

#[test]
fn sources_name_only_pages_that_exist() {
    let mut named = 0;
    let directories = ["src", "tests", "infra", "bench", "migrations"];
    let files = directories.map(|directory| files_below(&root().join(directory)));
    let scripts =
        ["test.sh", "bootstrap.sh", "Cargo.toml", "Dockerfile"].map(|name| root().join(name));
    for file in files.concat().into_iter().chain(scripts) {
        let Ok(text) = fs::read_to_string(&file) else {
            continue;
        };
        for rest in text.split("docs/").skip(1) {
            let allowed =
                |character: char| character.is_ascii_alphanumeric() || "-_./".contains(character);
            let name = rest.split(|character| !allowed(character)).next().unwrap();
            let Some(end) = name.find(".md") else {
                continue;
            };
            let page = format!("docs/{}", &name[..end + 3]);
            assert!(root().join(&page).exists(), "{}: {page}", file.display());
            named += 1;
        }
    }
    assert!(named > 10, "{named}");
}

/// The targets of the links of a page, outside code.
fn links(text: &str) -> Vec<String> {
    let mut links = Vec::new();
    let mut is_code = false;
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            is_code = !is_code;
        }
        if is_code {
            continue;
        }
        for (before, rest) in line.match_indices("](").map(|(at, _)| line.split_at(at)) {
            // An odd number of backticks before the link: the link is within code.
            if before.matches('`').count() % 2 == 0 || before.ends_with('`') {
                links.extend(rest[2..].split(')').next().map(str::to_owned));
            }
        }
    }
    links
}

/// The anchors of a page: the headings as GitHub names the headings, and the ids.
fn anchors(text: &str) -> BTreeSet<String> {
    let mut anchors = BTreeSet::new();
    let mut is_code = false;
    for line in text.lines() {
        if line.starts_with("```") {
            is_code = !is_code;
        }
        if is_code {
            continue;
        }
        for rest in line.split(" id=\"").skip(1) {
            anchors.extend(rest.split('"').next().map(str::to_owned));
        }
        if let Some(heading) = line.strip_prefix('#') {
            let slug = slug(heading.trim_start_matches('#').trim());
            let numbered = (1..).map(|number| format!("{slug}-{number}"));
            let mut names = [slug.clone()].into_iter().chain(numbered);
            let free = names.find(|name| !anchors.contains(name));
            anchors.extend(free);
        }
    }
    anchors
}

fn slug(heading: &str) -> String {
    let kept = heading.chars().filter_map(|character| match character {
        ' ' => Some('-'),
        '-' | '_' => Some(character),
        character if character.is_alphanumeric() => Some(character),
        _ => None,
    });
    kept.flat_map(char::to_lowercase).collect()
}

/// A path in a page, converted to a path from the root of the repository.
fn resolved(page: &Path, link: &str) -> PathBuf {
    let path = link.split('#').next().unwrap_or_default();
    let mut resolved = PathBuf::new();
    for part in page.parent().unwrap().join(path).components() {
        match part {
            Component::ParentDir => {
                resolved.pop();
            }
            part => resolved.push(part),
        }
    }
    resolved
}

#[test]
fn headings_are_named_as_github_names_them() {
    let anchors = anchors("# A `b` c: d\n## A\n```\n# no\n```\n## A\n<a id=\"x\"></a>\n");
    let expected = ["a", "a-1", "a-b-c-d", "x"].map(str::to_owned);
    assert_eq!(anchors, BTreeSet::from(expected));
}

#[test]
fn links_in_code_are_not_followed() {
    let text = "[a](b.md) `[c](d.md)` [`e`](f.md)\n```\n[g](h.md)\n```\n";
    assert_eq!(links(text), ["b.md", "f.md"]);
}
