//! Counts the instructions that the hottest ways of the server take, and compares them with those of the last commit: `make cost`.
//!
//! Instructions do not hang on what else the machine does, as times do. A case is counted by valgrind in a process that runs it a number of
//! times, twice with different numbers: the difference is the case's own, without start and end of the process.

mod book;
mod cases;
mod count;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};

use book::Book;

fn main() -> Result<ExitCode> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["run", case, rounds] => run(case, rounds.parse()?),
        ["check"] => check(),
        ["accept"] => count_all()?.write(&path()).map(|()| ExitCode::SUCCESS),
        _ => bail!("cost check, cost accept, or cost run CASE ROUNDS"),
    }
}

/// What valgrind looks at.
fn run(name: &str, rounds: u32) -> Result<ExitCode> {
    let case = cases::ALL.iter().find(|case| case.name == name);
    let mut round = (case.with_context(|| format!("there is no case {name}"))?.prepare)();
    (0..rounds).for_each(|_| round());
    Ok(ExitCode::SUCCESS)
}

fn check() -> Result<ExitCode> {
    let (before, now) = (Book::read(&path())?, count_all()?);
    let comparison = before.compare(&now);
    print!("{comparison}");
    Ok(if comparison.is_dearer() {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

fn count_all() -> Result<Book> {
    let program = std::env::current_exe()?;
    let count = |case: &cases::Case| Ok((case.name.to_owned(), count::count(&program, case.name)?));
    Ok(Book {
        compiler: env!("COMPILER").to_owned(),
        instructions: cases::ALL.iter().map(count).collect::<Result<_>>()?,
    })
}

/// The committed file.
fn path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("counts.toml")
}
