//! The second judge as a process: one JSON object a line in, one verdict a line out, in order.

use super::exceptions::Verdict;
use super::{Case, Question};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::Deserialize;
use serde_json::json;
use std::io::{BufRead as _, BufReader, BufWriter, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// The judge at work. Its two pipes are used by two threads: it writes while we write.
pub struct Peer {
    process: Child,
    verdicts: BufReader<ChildStdout>,
}

pub struct Questions(BufWriter<ChildStdin>);

#[derive(Deserialize)]
struct Line {
    case: String,
    verdict: String,
    #[serde(default)]
    id: String,
    #[serde(default)]
    class: String,
    #[serde(default)]
    detail: String,
}

impl Peer {
    pub fn start(program: &str) -> (Self, Questions) {
        let pipes = || Stdio::piped();
        let command = Command::new(program).stdin(pipes()).stdout(pipes()).spawn();
        let mut process = command.unwrap_or_else(|e| panic!("{program}: {e}"));
        let questions = Questions(BufWriter::new(process.stdin.take().unwrap()));
        let verdicts = BufReader::new(process.stdout.take().unwrap());
        (Self { process, verdicts }, questions)
    }

    /// The verdict on the next case, which is this one.
    pub fn verdict(&mut self, case: &Case) -> Verdict {
        let mut line = String::new();
        self.verdicts.read_line(&mut line).unwrap();
        let line: Line = serde_json::from_str(&line).unwrap_or_else(|e| panic!("{line:?}: {e}"));
        assert_eq!(
            line.case,
            case.number.to_string(),
            "the judge keeps the order"
        );
        match line.verdict.as_str() {
            "accept" => Verdict::Accept { id: line.id },
            _ => Verdict::Refuse {
                label: line.class,
                detail: line.detail,
            },
        }
    }

    pub fn finish(mut self) {
        assert!(self.process.wait().unwrap().success());
    }
}

impl Questions {
    pub fn ask(&mut self, case: &Case) {
        writeln!(self.0, "{}", as_json(case)).unwrap();
    }
}

/// The line that the judge reads, and that a report shows.
pub fn as_json(case: &Case) -> serde_json::Value {
    let base64 = |bytes: &Vec<u8>| BASE64_STANDARD.encode(bytes);
    let all = |ders: &[Vec<u8>]| ders.iter().map(base64).collect::<Vec<_>>();
    let number = case.number.to_string();
    match &case.question {
        Question::Id(id) => json!({"case": number, "kind": "id", "id_base64": base64(id)}),
        Question::Chain {
            chain,
            bundles,
            now,
        } => {
            let bundles: serde_json::Map<_, _> = bundles
                .iter()
                .map(|(domain, ders)| (domain.clone(), json!(all(ders))))
                .collect();
            json!({"case": number, "kind": "chain", "chain": all(chain), "bundles": bundles, "now": now.0})
        }
    }
}
