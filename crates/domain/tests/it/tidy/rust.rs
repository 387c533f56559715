//! Rust as the checks read it: what is code, what is text in quotes, what is shipped and what is for tests only.
//!
//! A scanner, not a parser: it knows comments, literals, brackets and attributes. What it cannot tell it takes for code.

/// A source file, taken apart. All three texts have the lines of the original.
#[derive(Clone, Debug)]
pub(super) struct Source {
    /// From the root of the repository.
    pub(super) path: String,
    pub(super) text: String,
    /// Without comments, and with nothing between quotes.
    pub(super) code: String,
    /// `code` without what is compiled for tests only.
    pub(super) shipped: String,
    /// What stood between quotes, with its line.
    pub(super) strings: Vec<(usize, String)>,
}

impl Source {
    pub(super) fn new(path: &str, text: &str) -> Self {
        let (code, strings) = take_apart(text);
        let shipped = without_test_items(&code);
        Self { path: path.to_owned(), text: text.to_owned(), code, shipped, strings }
    }

    /// Says that the whole file is for tests only.
    pub(super) fn mark_as_test(&mut self) {
        self.shipped = self.code.chars().map(|it| if it == '\n' { '\n' } else { ' ' }).collect();
    }

    /// Lines that hold something and are shipped, comments included.
    pub(super) fn shipped_lines(&self) -> usize {
        let is_test = |(shipped, code): (&str, &str)| shipped.trim() != code.trim();
        let tests = self.shipped.lines().zip(self.code.lines()).filter(|pair| is_test(*pair)).count();
        self.text.lines().count() - tests
    }

    /// The strings that are shipped, with their lines.
    pub(super) fn shipped_strings(&self) -> impl Iterator<Item = &(usize, String)> {
        let lines: Vec<&str> = self.shipped.lines().collect();
        self.strings.iter().filter(move |(line, _)| lines.get(line - 1).is_some_and(|line| line.contains('"')))
    }
}

/// What a stretch of a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Piece {
    Code,
    Comment,
    /// Between quotes: how long what opens and what closes it is.
    Literal {
        open: usize,
        close: usize,
    },
}

fn take_apart(text: &str) -> (String, Vec<(usize, String)>) {
    let mut code = String::with_capacity(text.len());
    let mut strings = Vec::new();
    let mut line = 1;
    let mut at = 0;
    while at < text.len() {
        let is_in_word = code.ends_with(|it: char| it.is_alphanumeric() || it == '_');
        let (piece, length) = next_piece(&text[at..], is_in_word);
        let whole = &text[at..at + length];
        match piece {
            Piece::Code => code.push_str(whole),
            Piece::Comment => blank(&mut code, whole),
            Piece::Literal { open, close } => {
                let inner = &whole[open..length - close];
                code.push_str(&whole[..open]);
                blank(&mut code, inner);
                code.push_str(&whole[length - close..]);
                strings.push((line, inner.to_owned()));
            }
        }
        line += whole.matches('\n').count();
        at += length;
    }
    (code, strings)
}

fn blank(out: &mut String, text: &str) {
    out.extend(text.chars().map(|it| if it == '\n' { '\n' } else { ' ' }));
}

/// What the rest begins with, and how many bytes it takes.
fn next_piece(rest: &str, is_in_word: bool) -> (Piece, usize) {
    if rest.starts_with("//") {
        return (Piece::Comment, rest.find('\n').unwrap_or(rest.len()));
    }
    if rest.starts_with("/*") {
        return (Piece::Comment, block_comment(rest));
    }
    if rest.starts_with('\'') {
        return character(rest);
    }
    let prefix = if is_in_word { 0 } else { rest.bytes().take_while(|byte| b"bcr".contains(byte)).count().min(2) };
    let hashes = rest[prefix..].bytes().take_while(|byte| *byte == b'#').count();
    let is_raw = rest[..prefix].ends_with('r');
    let open = prefix + hashes + 1;
    if !rest[prefix + hashes..].starts_with('"') || (hashes > 0 && !is_raw) {
        return (Piece::Code, rest.chars().next().map_or(1, char::len_utf8));
    }
    if is_raw {
        let end = format!("\"{}", "#".repeat(hashes));
        let inner = rest[open..].find(&end).unwrap_or(rest.len() - open);
        return literal(rest, open, inner, end.len());
    }
    let mut is_escaped = false;
    let end = rest[open..].find(|it| {
        let is_end = it == '"' && !is_escaped;
        is_escaped = it == '\\' && !is_escaped;
        is_end
    });
    literal(rest, open, end.unwrap_or(rest.len() - open), 1)
}

fn literal(rest: &str, open: usize, inner: usize, close: usize) -> (Piece, usize) {
    let close = close.min(rest.len() - open - inner);
    (Piece::Literal { open, close }, open + inner + close)
}

fn block_comment(rest: &str) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < rest.len() {
        if rest[at..].starts_with("/*") {
            (depth, at) = (depth + 1, at + 2);
        } else if rest[at..].starts_with("*/") {
            (depth, at) = (depth - 1, at + 2);
            if depth == 0 {
                break;
            }
        } else {
            at += rest[at..].chars().next().map_or(1, char::len_utf8);
        }
    }
    at
}

/// A character, or a lifetime, which is code.
fn character(rest: &str) -> (Piece, usize) {
    let mut inner = rest[1..].chars();
    let length = match inner.next() {
        Some('\\') => rest[3..].find('\'').map(|end| end + 3),
        Some(one) if inner.next() == Some('\'') => Some(1 + one.len_utf8()),
        _ => None,
    };
    length.map_or((Piece::Code, 1), |end| (Piece::Literal { open: 1, close: 1 }, end + 1))
}

/// Blanks every item with `#[cfg(test)]`, or with tests among other conditions.
fn without_test_items(code: &str) -> String {
    let mut rest = code;
    let mut shipped = String::with_capacity(code.len());
    while let Some(start) =
        ["#[cfg(test)]", "#[cfg(any(test,"].iter().filter_map(|attribute| rest.find(attribute)).min()
    {
        let length = item(&rest[start..]);
        shipped.push_str(&rest[..start]);
        blank(&mut shipped, &rest[start..start + length]);
        rest = &rest[start + length..];
    }
    shipped + rest
}

/// The length of an item with the attributes before it.
fn item(code: &str) -> usize {
    let mut depth = 0_usize;
    let mut is_attribute = false;
    for (at, it) in code.char_indices() {
        match it {
            '#' if depth == 0 => is_attribute = true,
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => {
                depth = depth.saturating_sub(1);
                if depth == 0 && it == '}' && !is_attribute {
                    return at + 1;
                }
                is_attribute &= depth > 0;
            }
            ';' if depth == 0 => return at + 1,
            _ => {}
        }
    }
    code.len()
}

/// The modules that a file declares and that live in files of their own.
pub(super) fn modules(code: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    for it in code.chars() {
        if it.is_alphanumeric() || it == '_' {
            word.push(it);
            continue;
        }
        if !word.is_empty() {
            words.push(std::mem::take(&mut word));
        }
        if !it.is_whitespace() {
            words.push(it.to_string());
        }
    }
    let declared = |three: &[String]| (three[0] == "mod" && three[2] == ";").then(|| three[1].clone());
    words.windows(3).filter_map(declared).collect()
}

/// Every path that the code names, with its line: those in `use` taken out of their braces, and the others as written.
pub(super) fn paths(code: &str) -> Vec<(usize, String)> {
    let mut paths = Vec::new();
    let mut line = 1;
    let mut at = 0;
    while at < code.len() {
        let rest = &code[at..];
        let length = rest.find(|it: char| !(it.is_alphanumeric() || it == '_' || it == ':')).unwrap_or(rest.len());
        let named = rest[..length].trim_matches(':');
        if named == "use" {
            let tree = &rest[length..rest.find(';').unwrap_or(rest.len()).max(length)];
            expand("", tree, &mut |path| paths.push((line, path)));
            line += tree.matches('\n').count();
            at += length + tree.len();
        } else {
            if !named.is_empty() {
                paths.push((line, named.to_owned()));
            }
            let end = length + rest[length..].chars().next().map_or(0, char::len_utf8);
            line += rest[length..end].matches('\n').count();
            at += end;
        }
    }
    paths
}

/// Takes `a::{b, c::{d, e}}` apart.
fn expand(prefix: &str, tree: &str, found: &mut dyn FnMut(String)) {
    let mut depth = 0;
    let mut start = 0;
    let mut branch = |text: &str| {
        let text = text.trim();
        if let Some((stem, inner)) = text.split_once('{') {
            expand(&format!("{prefix}{}", stem.trim()), inner.trim_end().trim_end_matches('}'), found);
        } else if !text.is_empty() {
            let path = text.split(" as ").next().unwrap_or_default().trim().trim_start_matches("::");
            found(format!("{prefix}{path}"));
        }
    };
    for (at, it) in tree.char_indices() {
        match it {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                branch(&tree[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    branch(&tree[start..]);
}
