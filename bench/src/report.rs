//! How does a program say what it found? Tables, once as Markdown for people and records, once as JSON for programs.

use crate::Common;
use crate::machine::Machine;
use anyhow::{Context, Result, ensure};
use serde_json::{Map, Value, json};
use std::fmt::Write;

/// One value of a table.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell {
    /// A name.
    Text(String),
    /// A number and the decimals that people see of it; JSON has all of them. One that is not finite counts as missing.
    Number(f64, usize),
    /// Not measured here.
    Missing,
}

impl Cell {
    fn text(&self) -> String {
        match self {
            Self::Text(text) => text.replace('|', "\\|"),
            Self::Number(value, decimals) if value.is_finite() => format!("{value:.decimals$}"),
            Self::Number(..) | Self::Missing => "–".to_string(),
        }
    }

    fn json(&self) -> Value {
        match self {
            Self::Text(text) => json!(text),
            // `json!` makes null of what is not finite.
            Self::Number(value, _) => json!(value),
            Self::Missing => Value::Null,
        }
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Self::Text(text.to_string())
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<usize> for Cell {
    fn from(count: usize) -> Self {
        Self::Number(count as f64, 0)
    }
}

/// A titled table. A column's name carries its unit; it is also its key in JSON.
#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    title: String,
    columns: Vec<String>,
    rows: Vec<Vec<Cell>>,
    notes: Vec<String>,
}

impl Table {
    /// An empty one.
    #[must_use]
    pub fn new(title: &str, columns: &[&str]) -> Self {
        let columns = columns.iter().map(ToString::to_string).collect();
        Self { title: title.to_string(), columns, rows: Vec::new(), notes: Vec::new() }
    }

    /// Adds a row.
    ///
    /// # Panics
    /// If it has another number of cells than the table has columns.
    pub fn row(&mut self, cells: impl IntoIterator<Item = Cell>) {
        let cells: Vec<_> = cells.into_iter().collect();
        assert_eq!(cells.len(), self.columns.len(), "cells of a row of `{}`", self.title);
        self.rows.push(cells);
    }

    /// Adds a line below the table.
    pub fn note(&mut self, note: impl Into<String>) {
        self.notes.push(note.into());
    }

    /// The table as Markdown, columns aligned: names to the left, numbers to the right.
    #[must_use]
    pub fn markdown(&self) -> String {
        let texts: Vec<Vec<String>> = self.rows.iter().map(|row| row.iter().map(Cell::text).collect()).collect();
        let mut widths: Vec<usize> = self.columns.iter().map(|name| name.chars().count().max(3)).collect();
        for row in &texts {
            for (width, text) in widths.iter_mut().zip(row) {
                *width = (*width).max(text.chars().count());
            }
        }
        let is_text = |column: usize| self.rows.iter().any(|row| matches!(row[column], Cell::Text(_)));
        let line = |cells: &[String]| {
            let mut line = String::from("|");
            for (column, (text, &width)) in cells.iter().zip(&widths).enumerate() {
                let padding = " ".repeat(width - text.chars().count());
                let padded = if is_text(column) { format!("{text}{padding}") } else { format!("{padding}{text}") };
                line += &format!(" {padded} |");
            }
            line + "\n"
        };
        let mut out = format!("## {}\n\n{}|", self.title, line(&self.columns));
        for (column, width) in widths.iter().enumerate() {
            let dashes = "-".repeat(width + 1);
            out += &if is_text(column) { format!("{dashes}-|") } else { format!("{dashes}:|") };
        }
        out.push('\n');
        texts.iter().for_each(|row| out += &line(row));
        if !self.notes.is_empty() {
            let _ = write!(out, "\n{}\n", self.notes.join("\n"));
        }
        out
    }

    fn json(&self) -> Value {
        let row = |cells: &Vec<Cell>| -> Value {
            Value::Object(self.columns.iter().cloned().zip(cells.iter().map(Cell::json)).collect::<Map<_, _>>())
        };
        let rows: Vec<_> = self.rows.iter().map(row).collect();
        json!({ "title": self.title, "rows": rows, "notes": self.notes, "markdown": self.markdown() })
    }
}

/// Prints `tables` on standard output, and writes them as JSON with the machine and the command where that was asked for.
///
/// # Errors
/// The file cannot be written.
pub fn publish(common: &Common, program: &str, tables: &[Table]) -> Result<()> {
    for table in tables {
        println!("{}", table.markdown());
    }
    let Some(path) = &common.json else { return Ok(()) };
    let tables: Vec<_> = tables.iter().map(Table::json).collect();
    let command: Vec<_> = std::env::args().skip(1).collect();
    let result = json!({ "program": program, "arguments": command, "machine": Machine::this(), "tables": tables });
    let text = serde_json::to_string_pretty(&result).context("JSON")? + "\n";
    std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

/// A record in Markdown: what the programs wrote as JSON, one after the other, under the machine that they ran on.
///
/// # Errors
/// One line: a text is no program's result, or two are of different machines or commits.
pub fn record(date: &str, results: &[(String, String)]) -> Result<String> {
    let mut out = String::new();
    let mut first: Option<Value> = None;
    for (name, text) in results {
        let result: Value = serde_json::from_str(text).with_context(|| format!("{name}: expected a program's result"))?;
        let expected = |key: &str| format!("{name}: expected a program's result, found no `{key}` in it");
        let machine: Machine = serde_json::from_value(result["machine"].clone()).with_context(|| expected("machine"))?;
        let program = result["program"].as_str().with_context(|| expected("program"))?;
        let tables = result["tables"].as_array().with_context(|| expected("tables"))?;
        let arguments: Vec<_> = result["arguments"].as_array().with_context(|| expected("arguments"))?.iter().collect();
        if let Some(first) = &first {
            for key in ["processor", "cores", "system", "rustc", "commit"] {
                let (expected, found) = (&first[key], &result["machine"][key]);
                ensure!(expected == found, "{name}: {key}: expected {expected}, as in the first result, found {found}");
            }
        } else {
            let _ = writeln!(out, "# {date}: bench\n\n{}", machine.markdown());
            first = Some(result["machine"].clone());
        }
        let mut arguments = arguments.into_iter().filter_map(Value::as_str);
        let mut command = format!("`{program}`");
        while let Some(argument) = arguments.next() {
            // Where results go says nothing of them, and where an interpreter lies is this machine's business.
            if matches!(argument, "--json" | "--svg") {
                arguments.next();
            } else if argument == "--python" {
                arguments.next();
                let _ = write!(command, " `--python` `PYTHON`");
            } else {
                let _ = write!(command, " `{argument}`");
            }
        }
        let _ = writeln!(out, "Command: {command}\n");
        for table in tables {
            let markdown = table["markdown"].as_str().with_context(|| expected("markdown"))?;
            let _ = writeln!(out, "{markdown}");
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let mut table = Table::new("Steps", &["who", "step µs"]);
        table.row(["a|b".into(), Cell::Number(12.345, 2)]);
        table.row(["c".into(), Cell::Number(f64::NAN, 2)]);
        table.note("Medians.");
        table
    }

    #[test]
    fn markdown_is_aligned() {
        let expected =
            "## Steps\n\n| who  | step µs |\n|------|--------:|\n| a\\|b |   12.35 |\n| c    |       – |\n\nMedians.\n";
        assert_eq!(table().markdown(), expected);
    }

    #[test]
    fn json_has_every_digit_and_null_for_what_is_missing() {
        let value = table().json();
        assert_eq!(value["rows"][0]["step µs"], json!(12.345));
        assert_eq!(value["rows"][1]["step µs"], Value::Null);
    }

    #[test]
    fn the_file_names_the_machine_and_the_command() {
        let path = std::env::temp_dir().join(format!("dreamstep-report-{}.json", std::process::id()));
        let common = Common { quick: true, json: Some(path.clone()) };
        publish(&common, "roofline", &[table()]).unwrap();
        let mut value: Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
        std::fs::remove_file(path).unwrap();
        assert_eq!(value["program"], "roofline");
        assert!(value["machine"]["cores"].as_u64().is_some_and(|n| n > 0));
        assert_eq!(value["tables"][0]["title"], "Steps");
        let text = serde_json::to_string(&value).unwrap();
        let record = record("2026-01-02", &[("a".into(), text.clone()), ("b".into(), text)]).unwrap();
        assert!(record.starts_with("# 2026-01-02: bench\n\n- Machine: "), "{record}");
        assert_eq!(record.matches(&table().markdown()).count(), 2);
        value["machine"]["commit"] = json!("another");
        let two = [("a".to_string(), serde_json::to_string(&value).unwrap()), ("b".to_string(), "{}".to_string())];
        let error = super::record("", &two).unwrap_err().to_string();
        assert!(error.starts_with("b: expected a program's result, found no `machine`"), "{error}");
        let unwritable = Common { quick: true, json: Some("/nowhere/at/all.json".into()) };
        let error = publish(&unwritable, "roofline", &[]).unwrap_err();
        assert!(format!("{error:#}").starts_with("cannot write /nowhere/at/all.json"), "{error:#}");
    }
}
