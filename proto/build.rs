//! Compiles the protocol definitions in `proto/` without protoc.

use std::error::Error;

/// The agent protocol as Sentinel has it.
const SENTINEL: &str = "sentinel.agent.v2";
/// The same as Zentinel has it.
const ZENTINEL: &str = "zentinel.agent.v2";
/// Where the crate includes Sentinel's messages.
const MESSAGES: &str = "crate::sentinel::grpc::v2";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=proto");
    let files = protox::compile(
        [
            "proto/workload.proto",
            "proto/sentinel/agent_v1.proto",
            "proto/sentinel/agent_v2.proto",
        ],
        ["proto"],
    )?;
    // One set of Rust types, two services: Zentinel's file has Sentinel's service and no message.
    let mut zentinel = files.clone();
    zentinel.file.retain(|file| file.package() == SENTINEL);
    for file in &mut zentinel.file {
        file.package = Some(ZENTINEL.to_owned());
        file.message_type.clear();
        file.source_code_info = None;
    }
    tonic_prost_build::configure().compile_fds(files)?;
    tonic_prost_build::configure()
        .extern_path(format!(".{SENTINEL}"), MESSAGES)
        .compile_fds(zentinel)?;
    Ok(())
}
