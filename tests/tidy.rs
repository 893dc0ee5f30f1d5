//! What a reader may expect of every file: lines and functions of a size that fits a head, no debt
//! without an owner, no trace of the machine it was written on, no type in a log line.
//!
//! Exceptions stand in [`LONG_FILES`], [`LONG_FUNCTIONS`] and [`LARGE_CRATES`], each with its reason
//! and its own ceiling. One that is no longer needed fails, so the tables only shrink.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may panic"
)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// rustfmt breaks code at 100; what it leaves alone (comments, macros) ends here. Literals do not
/// count, nor lines with a URL or of a table: they are found whole or not at all.
const LINE_MAX_CHARS: usize = 110;
/// The same in tests, where macros hold more of the code.
const TEST_LINE_MAX_CHARS: usize = 130;
/// Lines of a file without its tests.
const FILE_MAX_LINES: usize = 500;
/// The median file of a crate, without tests.
const FILE_MEDIAN_MAX_LINES: usize = 200;
/// Lines of a function, from `fn` to its last brace.
const FUNCTION_MAX_LINES: usize = 70;

/// Files over [`FILE_MAX_LINES`]: path, ceiling, reason.
const LONG_FILES: [(&str, usize, &str); 0] = [];

/// Functions over [`FUNCTION_MAX_LINES`]: file, function, ceiling, reason.
const LONG_FUNCTIONS: [(&str, &str, usize, &str); 2] = [
    (
        "actors/src/doors/answer.rs",
        "reply",
        90,
        "one answer, field by field: its parts share a borrowed buffer",
    ),
    (
        "config/src/bounds.rs",
        "limit",
        90,
        "a table: one row for each bound, with its reason",
    ),
];

/// Crates over [`FILE_MEDIAN_MAX_LINES`]: crate, ceiling, reason.
const LARGE_CRATES: [(&str, usize, &str); 0] = [];

/// The product: folders of source, by crate.
const CRATES: [(&str, &str); 6] = [
    ("actors", "actors/src"),
    ("chaos", "chaos/src"),
    ("config", "config/src"),
    ("proto", "proto/src"),
    ("the program", "src"),
    ("verdict", "verdict/src"),
];

/// Folders that hold nothing we wrote.
const NOT_OURS: [&str; 5] = ["target", ".git", "corpus", "artifacts", "node_modules"];

/// Kinds of text we write, by the end of their names; scripts without one are told by their `#!`.
const TEXTS: [&str; 16] = [
    "rs", "toml", "proto", "md", "kdl", "sh", "py", "go", "mod", "yml", "yaml", "json", "service",
    "socket", "txt", "conf",
];

#[test]
fn lines_fit_the_page() {
    let mut long = Vec::new();
    for file in texts() {
        let text = match file.is("rs") {
            true => blanked(&file.text, Blank::Literals),
            false if file.is("proto") || file.is_script() => file.text,
            false => continue,
        };
        let is_test = file.name.contains("tests/") || file.name.ends_with("tests.rs");
        let most = if is_test {
            TEST_LINE_MAX_CHARS
        } else {
            LINE_MAX_CHARS
        };
        for (number, line) in text.lines().enumerate() {
            let width = line.chars().count();
            if width > most && !line.contains("://") && !line.contains("//! |") {
                long.push(format!("{}:{}: {width} characters", file.name, number + 1));
            }
        }
    }
    none(&long, "lines are wider than the page");
}

#[test]
fn no_debt_is_without_an_owner() {
    let marks = [
        concat!("TO", "DO"),
        concat!("FIX", "ME"),
        concat!("XX", "X"),
    ];
    let mut ownerless = Vec::new();
    for file in &texts() {
        for (number, line) in file.text.lines().enumerate() {
            for mark in marks {
                let owned = format!("{mark}(");
                let debts = words(line, mark).count();
                if debts > line.matches(&owned).count() {
                    ownerless.push(format!("{}:{}: {mark}", file.name, number + 1));
                }
            }
        }
    }
    none(
        &ownerless,
        "debts have no owner: write the name or issue behind it, in parentheses",
    );
}

#[test]
fn no_machine_is_named() {
    let homes = [
        concat!("/wo", "rk/"),
        concat!("/ro", "ot/"),
        concat!("/home", "/runner"),
    ];
    let mut found = Vec::new();
    for file in &texts() {
        for (number, line) in file.text.lines().enumerate() {
            for home in homes {
                // A SPIFFE ID may have such a path: there a letter stands before the slash.
                let named = line.match_indices(home).any(|(at, _)| {
                    let before = line[..at].chars().next_back();
                    !before.is_some_and(|c| {
                        c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | '}')
                    })
                });
                if named {
                    found.push(format!("{}:{}: {home}", file.name, number + 1));
                }
            }
        }
    }
    none(&found, "places of one machine are named");
}

/// Whoever is on call has not read our types: what is logged has words of its own.
#[test]
fn no_log_line_shows_a_type() {
    let macros = ["trace!(", "debug!(", "info!(", "warn!(", "error!("];
    let mut shown = Vec::new();
    for (_, folder) in CRATES {
        for file in rust_files(folder) {
            let text = blanked(&file.text, Blank::LiteralsAndComments);
            for said in text.split("tracing::").skip(1) {
                let Some(fields) = macros.iter().find_map(|name| said.strip_prefix(name)) else {
                    continue;
                };
                let fields = fields.split(';').next().unwrap_or_default();
                // A field's form stands where the field or its value begins.
                let begins = |before: &str| before.trim_end().ends_with([',', '=', '(']);
                let forms = fields.match_indices('?').map(|(at, _)| &fields[..at]);
                let mut forms = forms.filter(|before| before.is_empty() || begins(before));
                if forms.next().is_some() {
                    shown.push(format!("{}: {}", file.name, fields.trim()));
                }
            }
        }
    }
    none(&shown, "log lines show a type's Debug form: use its words");
}

#[test]
fn files_have_one_idea() {
    let mut long = Vec::new();
    let mut excused: BTreeMap<&str, usize> = LONG_FILES
        .iter()
        .map(|(file, ceiling, _)| (*file, *ceiling))
        .collect();
    for (_, folder) in CRATES {
        for file in rust_files(folder) {
            let lines = product_lines(&file.text).count();
            let ceiling = excused.remove(file.name.as_str());
            if ceiling.is_some() && lines <= FILE_MAX_LINES {
                long.push(format!(
                    "{}: {lines} lines; its exception is no longer needed",
                    file.name
                ));
            } else if lines > ceiling.unwrap_or(FILE_MAX_LINES) {
                long.push(format!("{}: {lines} lines", file.name));
            }
        }
    }
    long.extend(
        excused
            .keys()
            .map(|gone| format!("{gone}: an exception for no file")),
    );
    none(&long, "files are longer than their ceiling");
}

#[test]
fn most_files_are_short() {
    let mut large = Vec::new();
    for (name, folder) in CRATES {
        let mut sizes: Vec<_> = rust_files(folder)
            .iter()
            .map(|file| product_lines(&file.text).count())
            .collect();
        sizes.sort_unstable();
        let median = sizes[sizes.len() / 2];
        let exception = LARGE_CRATES.iter().find(|(excused, ..)| *excused == name);
        if median > exception.map_or(FILE_MEDIAN_MAX_LINES, |(_, ceiling, _)| *ceiling) {
            large.push(format!("{name}: the median file has {median} lines"));
        }
    }
    none(&large, "crates have files that are too long");
}

#[test]
fn functions_fit_the_screen() {
    let mut long = Vec::new();
    let mut excused: BTreeMap<(&str, &str), usize> = LONG_FUNCTIONS
        .iter()
        .map(|(file, function, ceiling, _)| ((*file, *function), *ceiling))
        .collect();
    let mut seen = 0;
    for (_, folder) in CRATES {
        for file in rust_files(folder) {
            for (function, line, lines) in functions(&file.text) {
                seen += 1;
                let place = format!("{}:{line}: fn {function}: {lines} lines", file.name);
                let exception = excused
                    .iter()
                    .find(|((name, excused), _)| *name == file.name && *excused == function)
                    .map(|(key, ceiling)| (*key, *ceiling));
                let Some((key, ceiling)) = exception else {
                    if lines > FUNCTION_MAX_LINES {
                        long.push(place);
                    }
                    continue;
                };
                if lines > ceiling {
                    long.push(place);
                }
                if lines > FUNCTION_MAX_LINES {
                    excused.remove(&key);
                }
            }
        }
    }
    assert!(seen > 200, "functions were found: {seen}");
    let unneeded = excused
        .keys()
        .map(|(file, function)| format!("{file}: fn {function}: its exception is not needed"));
    long.extend(unneeded);
    none(&long, "functions are longer than their ceiling");
}

#[test]
fn the_reader_of_functions_reads() {
    let source = "
        const A: &str = \"fn no() {\"; // fn no() {
        /* fn no() { /* nested */ } */
        impl X { fn one(&self) -> [u8; 2] { if a { '{' } else { '\\'' } } }
        trait T { fn declared(&self); }
        fn two<'a>(x: &'a str) -> String where X: Fn() {
            r#\"}\"}\"#.into()
        }
        #[cfg(test)]
        mod tests { fn not_ours() {} }
    ";
    let found: Vec<_> = functions(source)
        .map(|(name, _, lines)| (name, lines))
        .collect();
    assert_eq!(found, [("one".to_owned(), 1), ("two".to_owned(), 3)]);
    let blanked = blanked("let a = \"text\"; // \"comment\"\n'x'\n", Blank::Literals);
    assert_eq!(blanked, "let a = ; // \"comment\"\n\n");
}

// Reading.

struct Text {
    name: String,
    text: String,
}

impl Text {
    fn is(&self, end: &str) -> bool {
        Path::new(&self.name).extension().is_some_and(|e| e == end)
    }

    fn is_script(&self) -> bool {
        self.text.starts_with("#!") && !self.is("rs") && !self.is("py")
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every text file of the repository.
fn texts() -> Vec<Text> {
    let mut texts = Vec::new();
    for path in walk(root()) {
        let end = path.extension().and_then(|end| end.to_str());
        let known = end.is_some_and(|end| TEXTS.contains(&end));
        if !known && end.is_some() {
            continue;
        }
        // Fuzz seeds and captures are bytes that happen to have no name.
        if let Ok(text) = std::fs::read_to_string(&path)
            && (known || text.starts_with("#!"))
        {
            texts.push(Text {
                name: name(&path),
                text,
            });
        }
    }
    assert!(
        texts.len() > 100,
        "the repository was found: {} texts",
        texts.len()
    );
    texts
}

fn rust_files(folder: &str) -> Vec<Text> {
    let files = walk(&root().join(folder)).into_iter();
    let files = files.filter(|path| path.extension().is_some_and(|end| end == "rs"));
    // Tests in files of their own are found where they are declared, and not counted.
    let files = files.filter(|path| path.file_name().is_some_and(|file| file != "tests.rs"));
    let read = |path: PathBuf| Text {
        name: name(&path),
        text: std::fs::read_to_string(path).unwrap(),
    };
    files.map(read).collect()
}

fn walk(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let (path, kind) = (entry.path(), entry.file_type().unwrap());
        if kind.is_file() {
            files.push(path);
        } else if kind.is_dir() && !NOT_OURS.iter().any(|name| entry.file_name() == *name) {
            files.extend(walk(&path));
        }
    }
    files.sort();
    files
}

fn name(path: &Path) -> String {
    let name = path.strip_prefix(root()).unwrap().to_str().unwrap();
    name.replace('\\', "/")
}

/// The lines before the tests, which stand last.
fn product_lines(text: &str) -> impl Iterator<Item = &str> {
    text.lines()
        .take_while(|line| line.trim() != "#[cfg(test)]")
}

/// Where `word` stands alone: capital letters before or behind it make it another one.
fn words<'t>(line: &'t str, word: &'t str) -> impl Iterator<Item = usize> + 't {
    let letter = |c: char| c.is_ascii_alphanumeric() || c == '_';
    line.match_indices(word)
        .map(|(at, _)| at)
        .filter(move |at| {
            let (before, behind) = (&line[..*at], &line[at + word.len()..]);
            !before.ends_with(letter) && !behind.starts_with(letter)
        })
}

/// Name, line and length of every function with a body, tests excepted.
fn functions(text: &str) -> impl Iterator<Item = (String, usize, usize)> {
    let product: Vec<&str> = product_lines(text).collect();
    let code = blanked(&product.join("\n"), Blank::LiteralsAndComments);
    let mut found = Vec::new();
    for at in words(&code, "fn").collect::<Vec<_>>() {
        let rest = &code[at + 2..];
        let name: String = rest
            .trim_start()
            .chars()
            .take_while(|c| c.is_alphanumeric() || *c == '_')
            .collect();
        let Some(length) = body_end(rest).filter(|_| !name.is_empty()) else {
            continue;
        };
        let line = code[..at].matches('\n').count() + 1;
        let lines = rest[..length].matches('\n').count() + 1;
        found.push((name, line, lines));
    }
    found.into_iter()
}

/// The end of the braces that follow, unless a `;` outside of brackets comes first.
fn body_end(code: &str) -> Option<usize> {
    let (mut braces, mut brackets) = (0_usize, 0_usize);
    for (at, byte) in code.bytes().enumerate() {
        match byte {
            b'(' | b'[' => brackets += 1,
            b')' | b']' => brackets = brackets.checked_sub(1)?,
            b';' if braces == 0 && brackets == 0 => return None,
            b'{' => braces += 1,
            b'}' => {
                braces = braces.checked_sub(1)?;
                if braces == 0 && brackets == 0 {
                    return Some(at);
                }
            }
            _ => {}
        }
    }
    None
}

/// What [`blanked`] takes out.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Blank {
    Literals,
    LiteralsAndComments,
}

/// The code without its literals, or without comments too; line ends are kept.
fn blanked(text: &str, blank: Blank) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = text_length(rest, out.chars().next_back());
        let (piece, behind) = rest.split_at(length.unwrap_or(first.len_utf8()));
        let comment = piece.starts_with("//") || piece.starts_with("/*");
        if length.is_none() || (comment && blank == Blank::Literals) {
            out.push_str(piece);
        } else {
            out.extend(piece.matches('\n'));
        }
        rest = behind;
    }
    out
}

/// Bytes of the comment or literal that begins here.
fn text_length(code: &str, before: Option<char>) -> Option<usize> {
    let until = |end: &str, from: usize| {
        code[from..]
            .find(end)
            .map_or(code.len(), |at| from + at + end.len())
    };
    if code.starts_with("//") {
        return Some(code.find('\n').unwrap_or(code.len()));
    }
    if code.starts_with("/*") {
        return Some(comment_length(code));
    }
    if code.starts_with('"') {
        return Some(quoted_length(code, '"'));
    }
    if let Some(rest) = code.strip_prefix('\'') {
        // A lifetime has no second quote where a character has it.
        let mut inner = rest.chars();
        return match (inner.next()?, inner.next()?) {
            ('\\', _) => Some(quoted_length(code, '\'')),
            (c, '\'') => Some(2 + c.len_utf8()),
            _ => None,
        };
    }
    let in_word = before.is_some_and(|c| c.is_alphanumeric() || c == '_');
    let raw = code
        .strip_prefix("br")
        .or_else(|| code.strip_prefix('r'))
        .filter(|_| !in_word)?;
    let hashes = raw.len() - raw.trim_start_matches('#').len();
    let opened = code.len() - raw.len() + hashes + 1;
    raw[hashes..]
        .starts_with('"')
        .then(|| until(&format!("\"{}", "#".repeat(hashes)), opened))
}

fn comment_length(code: &str) -> usize {
    let mut depth = 0_usize;
    let mut at = 0;
    while at < code.len() {
        let rest = &code.as_bytes()[at..];
        if rest.starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if rest.starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    code.len()
}

fn quoted_length(code: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in code.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == quote => return at + c.len_utf8(),
            _ => {}
        }
    }
    code.len()
}

fn none(found: &[String], what: &str) {
    assert!(
        found.is_empty(),
        "{} {what}:\n{}",
        found.len(),
        found.join("\n")
    );
}

/// A table of mutants: where it stands, which column names the file, from where, and which holds the code.
const MUTANTS: [(&str, usize, &str, usize); 2] = [
    ("chaos/mutants/mutants.tsv", 1, "", 4),
    ("verdict/tests/core/mutants.tsv", 0, "verdict/src/", 2),
];

/// Whoever changes a check that is broken on purpose changes its row: one that fits no code proves nothing.
#[test]
fn every_mutant_fits_the_code() {
    for (table, file, folder, old) in MUTANTS {
        let rows = std::fs::read_to_string(root().join(table)).unwrap();
        let rows = rows
            .lines()
            .filter(|row| !row.is_empty() && !row.starts_with('#'));
        let mut count = 0;
        for row in rows {
            let columns: Vec<_> = row.split('\t').collect();
            let code = root().join(folder).join(columns[file]);
            let code = std::fs::read_to_string(code).unwrap();
            let unescaped = columns[old].replace("\\n", "\n").replace("\\t", "\t");
            let found = code.matches(&unescaped.replace("\\\\", "\\")).count();
            assert_eq!(found, 1, "{table}: {row}");
            count += 1;
        }
        assert!(count >= 10, "{table} has {count} rows");
    }
}
