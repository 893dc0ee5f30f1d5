//! `doctor` on the built binary: each finding on the real thing, broken.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a test may panic, and say why it was skipped"
)]

#[path = "../common/mod.rs"]
mod common;
mod hop;
mod running;
mod seen;

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Output};

use actors::agent::Agent as AgentInside;
use actors::clock::{Clock, ToldClock};
use chaos::ca::{Authority, AuthorityOptions, Defect, SvidOptions, Window};
use chaos::client::Request;
use chaos::spire::{SocketFile, WorkloadSvid};
use chaos::world::bundles_of;
use config::{Override, Overrides, Settings};
use serde_json::Value;
use verdict::availability::Phase;
use verdict::time::Now;

use common::{FRONTEND, Site, eventually, unix_now};

/// About which there is nothing to say.
const POLICY: &str = "tls { client-cert-format \"xfcc\"; xfcc-element \"only\" }\nallowlist { exact \"spiffe://example.org/frontend\" }\n";

fn doctor(site: &Site, config: &str, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sentinel-spiffe-agent"));
    asked(&mut command, site, config, arguments)
}

/// `doctor` by this program, or as this user.
fn asked(command: &mut Command, site: &Site, config: &str, arguments: &[&str]) -> Output {
    let file = site.path("doctor.kdl");
    std::fs::write(&file, config).unwrap();
    // No admin listener but where one is looked at: tests share the default address.
    command.env_clear().env("AGENT_ADMIN_ADDRESS", "none");
    command
        .args(["doctor", "--output", "json", "--config"])
        .arg(&file);
    command.arg("--socket").arg(site.socket());
    if !arguments.contains(&"--spire-socket") {
        command.arg("--spire-socket").arg(site.path("spire.sock"));
    }
    command.args(arguments).output().unwrap()
}

/// The codes of what was found; each finding says what to do.
fn codes(output: &Output) -> Vec<String> {
    let text = String::from_utf8_lossy(&output.stdout);
    let found: Value = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {output:?}"));
    let findings = found["findings"].as_array().unwrap();
    let wanted = i32::from(!findings.is_empty());
    assert_eq!(output.status.code(), Some(wanted), "{text}");
    for finding in findings {
        assert!(!finding["fix"].as_str().unwrap().is_empty(), "{finding}");
    }
    let codes = findings
        .iter()
        .map(|finding| finding["code"].as_str().unwrap().to_owned());
    codes.collect()
}

/// Found with everything else in its place but the agent, which does not run here.
fn found(site: &Site, config: &str, arguments: &[&str]) -> Vec<String> {
    let mut codes = codes(&doctor(site, config, arguments));
    codes.retain(|code| code != "agent-down");
    codes
}

#[tokio::test(flavor = "multi_thread")]
async fn where_nothing_is_wrong_nothing_is_found() {
    let site = Site::new();
    let agent = site.live(POLICY).await;
    let output = doctor(&site, POLICY, &[]);
    assert!(codes(&output).is_empty(), "{output:?}");
    agent.stop().await;
    assert_eq!(codes(&doctor(&site, POLICY, &[])), ["agent-down"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn spires_socket_in_every_bad_state() {
    let site = Site::new();
    let spire = site.world.spire();
    let gone = site.path("gone.sock");
    let arguments = ["--spire-socket", gone.to_str().unwrap()];
    assert_eq!(found(&site, POLICY, &arguments), ["spire-socket-missing"]);
    std::fs::write(&gone, "no socket").unwrap();
    assert_eq!(found(&site, POLICY, &arguments), ["spire-socket-wrong"]);
    let told = doctor(&site, POLICY, &arguments);
    let told = String::from_utf8_lossy(&told.stdout).into_owned();
    assert!(told.contains(": it is a regular file\""), "{told}");
    spire.stop(SocketFile::Left).await.unwrap();
    assert_eq!(found(&site, POLICY, &[]), ["spire-down"]);
}

/// As a container has it: the socket itself is mounted, in a mount namespace of its own.
fn doctor_with_mount(site: &Site, socket: &Path) -> Vec<String> {
    let (file, mounted) = (site.path("doctor.kdl"), site.path("mounted.sock"));
    std::fs::write(&file, POLICY).unwrap();
    std::fs::write(&mounted, "").unwrap();
    let mut command = Command::new("unshare");
    command.env("AGENT_ADMIN_ADDRESS", "none");
    command.args([
        "--mount",
        "sh",
        "-c",
        "mount --bind \"$1\" \"$2\" && shift 2 && exec \"$@\"",
        "sh",
    ]);
    command
        .arg(socket)
        .arg(&mounted)
        .arg(env!("CARGO_BIN_EXE_sentinel-spiffe-agent"));
    command
        .args(["doctor", "--output", "json", "--config"])
        .arg(&file);
    command
        .arg("--socket")
        .arg(site.socket())
        .arg("--spire-socket")
        .arg(&mounted);
    let mut codes = codes(&command.output().unwrap());
    codes.retain(|code| code != "agent-down");
    codes
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_that_is_mounted_goes_stale() {
    let may_mount = Command::new("unshare").args(["--mount", "true"]).status();
    if !may_mount.is_ok_and(|status| status.success()) {
        // Only whoever may mount can show it.
        return;
    }
    let site = Site::new();
    let (socket, old) = (site.path("spire.sock"), site.path("old.sock"));
    std::fs::hard_link(&socket, &old).unwrap();
    assert_eq!(doctor_with_mount(&site, &socket), ["socket-mounted"]);
    let spire = site.world.spire();
    spire.stop(SocketFile::Removed).await.unwrap();
    spire.start().unwrap();
    // SPIRE is up again; whoever mounted the file still has the old one.
    assert_eq!(found(&site, POLICY, &[]), [""; 0]);
    assert_eq!(doctor_with_mount(&site, &old), ["socket-stale"]);
}

/// What doctor, check-config and inspect say of a socket in a mounted directory, after this was done to
/// what is mounted: `$1` at `$2`.
fn told_of_a_mount(site: &Site, then: &str) -> [String; 3] {
    let (file, dir, mounted) = (
        site.path("doctor.kdl"),
        site.path("host"),
        site.path("volume"),
    );
    std::fs::write(&file, POLICY).unwrap();
    let script = format!(
        "mkdir \"$1\" && mkdir -p \"$2\" && mount --bind \"$1\" \"$2\" && {then} && shift 2 && exec \"$@\""
    );
    let socket = mounted.join("agent.sock");
    let file = file.to_str().unwrap();
    let of_commands: [&[&str]; 3] = [
        &["doctor", "--output", "json", "--config", file],
        &["check-config", "--output", "json", file],
        &["inspect"],
    ];
    of_commands.map(|arguments| {
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c", &script, "sh"]);
        command.arg(&dir).arg(&mounted);
        command.arg(env!("CARGO_BIN_EXE_sentinel-spiffe-agent"));
        command.args(arguments).arg("--spire-socket").arg(&socket);
        command.env("AGENT_ADMIN_ADDRESS", "none");
        let output = command.output().unwrap();
        let _made = std::fs::remove_dir_all(&dir);
        String::from_utf8([output.stdout, output.stderr].concat()).unwrap()
    })
}

/// SPIRE may be up where the mount no longer leads.
#[tokio::test(flavor = "multi_thread")]
async fn a_directory_that_is_mounted_goes_stale_too() {
    let may_mount = Command::new("unshare").args(["--mount", "true"]).status();
    if !may_mount.is_ok_and(|status| status.success()) {
        // Only whoever may mount can show it.
        return;
    }
    let site = Site::new();
    let [doctor, check, inspect] = told_of_a_mount(&site, "rm -r \"$1\"");
    for told in [doctor, check] {
        assert!(told.contains("was deleted: mount anew"), "{told}");
    }
    let gone = "gone with what is mounted here: that was deleted";
    assert!(inspect.contains(gone), "{inspect}");
    let [doctor, ..] = told_of_a_mount(&site, "rm -r \"$1\" && mkdir \"$1\"");
    assert!(doctor.contains("\"socket-stale\""), "{doctor}");
    // What took its place is not seen from within: it is only said that this may be.
    let [doctor, check, inspect] = told_of_a_mount(&site, "mv \"$1\" \"$2.$$\" && mkdir \"$1\"");
    for told in [doctor, check] {
        assert!(
            told.contains("may have been replaced on the host"),
            "{told}"
        );
    }
    assert!(
        inspect.contains("no such file in what is mounted here"),
        "{inspect}"
    );
}

/// What doctor and check-config say of what may not be written, by its mount.
fn told_of_what_is_read_only(site: &Site) -> [Value; 2] {
    let (file, disk) = (site.path("doctor.kdl"), site.path("disk"));
    let (state, records) = (disk.join("state"), disk.join("audit.jsonl"));
    let config = format!(
        "{POLICY}agent {{ state-dir {state:?} }}\naudit {{ sink \"file\" path={records:?} }}\n"
    );
    std::fs::write(&file, config).unwrap();
    let _made = std::fs::create_dir(&disk);
    let script = "mount -t tmpfs none \"$1\" && mkdir -m 700 \"$1/state\" && mount -o remount,ro \"$1\" \
                  && shift && exec \"$@\"";
    let file = file.to_str().unwrap();
    let of_commands: [&[&str]; 2] = [&["doctor", "--config", file], &["check-config", file]];
    of_commands.map(|arguments| {
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c", script, "sh"]);
        command.arg(&disk);
        command.arg(env!("CARGO_BIN_EXE_sentinel-spiffe-agent"));
        command.args(arguments).args(["--output", "json"]);
        command.arg("--socket").arg(site.socket());
        command.arg("--spire-socket").arg(site.path("spire.sock"));
        command.env("AGENT_ADMIN_ADDRESS", "none");
        serde_json::from_slice(&command.output().unwrap().stdout).unwrap()
    })
}

/// One fault, one finding, and a remedy that works.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_mounted_read_only_is_told_once_with_its_remedy() {
    let may_mount = Command::new("unshare").args(["--mount", "true"]).status();
    if !may_mount.is_ok_and(|status| status.success()) {
        // Only whoever may mount can show it.
        return;
    }
    let site = Site::new();
    for (told, state) in told_of_what_is_read_only(&site)
        .into_iter()
        .zip(["state-unwritable", "state-dir"])
    {
        let findings = told["findings"].as_array().unwrap();
        let of = |part: &str| {
            let codes = findings
                .iter()
                .filter(|one| one["code"].as_str().unwrap().starts_with(part));
            codes.cloned().collect::<Vec<_>>()
        };
        let (of_state, of_sink) = (of("state"), of("sink"));
        assert_eq!((of_state.len(), of_sink.len()), (1, 1), "{told}");
        assert_eq!(of_state[0]["code"], state, "{told}");
        assert_eq!(of_sink[0]["code"], "sink-unwritable", "{told}");
        let sink = of_sink[0]["what"].as_str().unwrap();
        assert!(sink.contains("the agent would not start"), "{told}");
        for finding in [&of_state[0], &of_sink[0]] {
            let fix = finding["fix"].as_str().unwrap();
            assert!(
                fix.contains("that mounts and the unit let be written"),
                "{told}"
            );
        }
    }
}

/// The codes with this much room where records go, on a file system of one MiB.
fn doctor_with_room(site: &Site, filled_kib: u32, config: &str) -> Vec<String> {
    let (file, disk) = (site.path("doctor.kdl"), site.path("disk"));
    let _made = std::fs::create_dir(&disk);
    let sink = format!("sink \"file\" path={:?}", disk.join("audit.jsonl"));
    std::fs::write(
        &file,
        config.replacen("audit {", &format!("audit {{ {sink};"), 1),
    )
    .unwrap();
    let script = "mount -t tmpfs -o size=1m none \"$1\" && head -c \"$2\"k /dev/zero >\"$1/filled\"; shift 2 && exec \"$@\"";
    let mut command = Command::new("unshare");
    command.env("AGENT_ADMIN_ADDRESS", "none");
    command
        .args(["--mount", "sh", "-c", script, "sh"])
        .arg(disk);
    command
        .arg(filled_kib.to_string())
        .arg(env!("CARGO_BIN_EXE_sentinel-spiffe-agent"));
    command
        .args(["doctor", "--output", "json", "--config"])
        .arg(&file);
    command.arg("--socket").arg(site.socket());
    command.arg("--spire-socket").arg(site.path("spire.sock"));
    let mut codes = codes(&command.output().unwrap());
    codes.retain(|code| code != "agent-down");
    codes
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_of_records_that_is_full_or_nearly_so() {
    let may_mount = Command::new("unshare").args(["--mount", "true"]).status();
    if !may_mount.is_ok_and(|status| status.success()) {
        // Only whoever may mount can show it.
        return;
    }
    let site = Site::new();
    for on_full in ["drop", "deny"] {
        let config = format!("{POLICY}audit {{ on-full \"{on_full}\" }}\n");
        // Of what little there is, records are still written: that is not full.
        for (filled_kib, code) in [
            (0, "audit-disk-low"),
            (1_000, "audit-disk-low"),
            (2_000, "audit-disk-full"),
        ] {
            let mut found = doctor_with_room(&site, filled_kib, &config);
            found.retain(|code| code != "records-unreadable");
            assert_eq!(found, [code], "{filled_kib} KiB filled");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn spire_that_refuses_hangs_or_is_something_else() {
    let site = Site::new();
    let spire = site.world.spire();
    spire.withdraw();
    let output = doctor(&site, POLICY, &[]);
    assert!(codes(&output).contains(&"not-registered".to_owned()));
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        text.contains("spire-server entry create -spiffeID"),
        "{text}"
    );
    spire.answer_with(tonic::Code::Unimplemented, "no such service");
    assert_eq!(found(&site, POLICY, &[]), ["spire-not-understood"]);
    spire.answer_http(404);
    assert_eq!(found(&site, POLICY, &[]), ["spire-not-understood"]);
    spire.answer_with(tonic::Code::Unavailable, "no server");
    assert_eq!(found(&site, POLICY, &[]), ["spire-broken"]);
    spire.hang();
    let hasty = format!("{POLICY}spire {{ api-timeout-ms 100 }}\n");
    assert_eq!(found(&site, &hasty, &[]), ["spire-silent"]);
}

/// SPIRE serves the bundle of an authority with this window.
fn bundle_of(site: &Site, window: Window) {
    let options = AuthorityOptions::at(unix_now()).with_window(window);
    let authority = Authority::new("example.org", options).unwrap();
    site.world.spire().set_bundles(bundles_of([&authority]));
}

#[tokio::test(flavor = "multi_thread")]
async fn bundles_that_are_expired_ending_early_unreadable_or_missing() {
    let site = Site::new();
    let now = unix_now();
    bundle_of(&site, Window::from(now - 7_200, 3_600));
    assert_eq!(found(&site, POLICY, &[]), ["bundle-unusable"]);
    bundle_of(&site, Window::from(now - 7_200, 10_800));
    assert_eq!(found(&site, POLICY, &[]), ["authority-ending"]);
    // SPIRE's own default is a day, and it prepares the next one at half of it.
    bundle_of(&site, Window::from(now - 60, 86_400));
    assert_eq!(found(&site, POLICY, &[]), [""; 0]);
    bundle_of(&site, Window::from(now + 600, 10 * 86_400));
    let early = found(&site, POLICY, &[]);
    assert_eq!(early, ["bundle-unusable", "clock-behind"]);
    // A new authority would begin later still: it is the clock that is looked at.
    let told = String::from_utf8(doctor(&site, POLICY, &[]).stdout).unwrap();
    assert!(!told.contains("localauthority"), "{told}");
    assert!(told.contains("clock behind (timedatectl"), "{told}");
    let mut bundles = bundles_of([site.world.home()]);
    bundles.insert("spiffe://partner.test".to_owned(), b"no bundle".to_vec());
    site.world.spire().set_bundles(bundles);
    assert!(found(&site, POLICY, &[]).contains(&"bundle-unreadable".to_owned()));
    let wants = POLICY.replace("exact ", "trust-domains \"absent.test\"; exact ");
    site.world.publish();
    site.world.unfederate();
    let said = |config: &str| String::from_utf8(doctor(&site, config, &[]).stdout).unwrap();
    let federated = said(&wants);
    assert!(federated.contains("domain-not-delivered"), "{federated}");
    assert!(!federated.contains("the right SPIRE"), "{federated}");
    // Of another SPIRE not one is there.
    let other = said(&POLICY.replace("example.org", "absent.test"));
    for part in [
        "domain-not-delivered",
        "is this the right SPIRE? --spire-socket",
    ] {
        assert!(other.contains(part), "no {part:?} in {other}");
    }
}

/// Ten thousand bundles that are none are one trouble: a few are named, the rest counted.
#[tokio::test(flavor = "multi_thread")]
async fn one_trouble_of_many_trust_domains_is_listed_within_bounds() {
    let site = Site::new();
    let mut bundles = bundles_of([site.world.home()]);
    for number in 0..40 {
        bundles.insert(format!("spiffe://d{number}.test"), b"no bundle".to_vec());
    }
    site.world.spire().set_bundles(bundles);
    let codes = found(&site, POLICY, &[]);
    let unreadable = codes.iter().filter(|code| *code == "bundle-unreadable");
    assert_eq!(unreadable.count(), 16);
    let said = String::from_utf8(doctor(&site, POLICY, &[]).stdout).unwrap();
    assert!(said.contains("\"more\":24"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn svids_that_are_expired_or_live_too_long() {
    let site = Site::new();
    let now = unix_now();
    for (window, code) in [
        (Window::from(now - 60, 3 * 86_400), "svid-long-lived"),
        (Window::from(now - 7_200, 3_600), "svid-expired"),
        (Window::from(now + 600, 3_600), "clock-behind"),
    ] {
        let options = SvidOptions::at(now).with_window(window);
        let svid = site
            .world
            .svid_with("spiffe://example.org/agent", &options)
            .unwrap();
        let hint = String::new();
        site.world
            .spire()
            .set_svids(vec![WorkloadSvid { svid, hint }]);
        assert_eq!(found(&site, POLICY, &[]), [code]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_svid_that_is_none_and_an_answer_without_bundles() {
    let site = Site::new();
    let options = SvidOptions::at(unix_now()).with_defect(Defect::CaTrue);
    let agent = "spiffe://example.org/agent";
    let svid = site.world.svid_with(agent, &options).unwrap();
    let hint = String::new();
    let spire = site.world.spire();
    spire.set_svids(vec![WorkloadSvid { svid, hint }]);
    assert_eq!(found(&site, POLICY, &[]), ["svid-unreadable"]);
    spire.set_svids(Vec::new());
    spire.set_bundles(BTreeMap::new());
    let none = found(&site, POLICY, &[]);
    // What an agent that runs still holds is not for this answer to say.
    assert_eq!(none, ["no-bundles"]);
}

/// Root may connect to everything: another user is refused, by the kernel itself.
#[tokio::test(flavor = "multi_thread")]
async fn sockets_that_this_user_may_not_use() {
    const NOBODY: u32 = 65_534;
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: only root can run the doctor as another user");
        return;
    }
    let site = Site::new();
    let agent = site.live(POLICY).await;
    // Where that user reaches it, wherever it was built.
    let program = site.path("doctor");
    std::fs::copy(env!("CARGO_BIN_EXE_sentinel-spiffe-agent"), &program).unwrap();
    chmod(program.parent().unwrap(), 0o711);
    let as_nobody = || {
        let mut command = Command::new(&program);
        command.uid(NOBODY).gid(NOBODY);
        let mut codes = codes(&asked(&mut command, &site, POLICY, &[]));
        // Nor may that user be the agent.
        codes.retain(|code| code != "socket-directory");
        codes
    };
    let spire = site.path("spire.sock");
    chmod(&spire, 0o666);
    assert_eq!(as_nobody(), ["agent-socket-forbidden"]);
    chmod(&spire, 0o600);
    let both = ["spire-socket-forbidden", "agent-socket-forbidden"];
    assert_eq!(as_nobody(), both);
    agent.stop().await;
}

/// Bundles written by an agent whose clock was an hour ahead, or two behind, in the boot before.
#[tokio::test(flavor = "multi_thread")]
async fn bundles_on_disk_from_another_time() {
    for (ahead_ms, code) in [(3_600_000, "clock-set-back"), (-7_200_000, "state-too-old")] {
        let site = Site::new();
        let state = written(&site, ahead_ms).await;
        let arguments = ["--state-dir", state.to_str().unwrap()];
        assert_eq!(found(&site, POLICY, &arguments), [code]);
    }
}

/// A directory that an agent whose clock was so far ahead kept its bundles in.
async fn written(site: &Site, ahead_ms: i64) -> std::path::PathBuf {
    let state = site.path("state");
    std::fs::create_dir(&state).unwrap();
    chmod(&state, 0o700);
    let mut overrides = Overrides::default();
    for (name, path) in [
        (Override::Socket, site.socket()),
        (Override::SpireSocket, site.path("spire.sock")),
        (Override::StateDir, state.clone()),
    ] {
        overrides = overrides.with_flag(name, path.display().to_string());
    }
    let overrides = overrides.with_flag(Override::AdminAddress, "none".to_owned());
    let settings = Settings::resolve(None, &overrides).unwrap();
    let now = i64::try_from(unix_now()).unwrap() * 1_000;
    let (wall_ms, boot_ms) = (now + ahead_ms, 60_000);
    let ahead = ToldClock::new(Now { wall_ms, boot_ms }, "the boot before");
    let agent = AgentInside::start(settings, Clock::Told(ahead))
        .await
        .unwrap();
    let live = async || agent.trust().phase() == Phase::Live;
    eventually("an agent that is Live", live).await;
    agent.shutdown().await;
    state
}

#[tokio::test(flavor = "multi_thread")]
async fn our_own_socket_and_state() {
    let site = Site::new();
    std::fs::write(site.socket(), "no socket").unwrap();
    assert!(codes(&doctor(&site, POLICY, &[])).contains(&"agent-socket-wrong".to_owned()));
    std::fs::remove_file(site.socket()).unwrap();
    let agent = site.live(POLICY).await;
    chmod(&site.socket(), 0o666);
    assert_eq!(codes(&doctor(&site, POLICY, &[])), ["agent-socket-mode"]);
    agent.stop().await;
    let state = site.path("state");
    std::fs::create_dir(&state).unwrap();
    chmod(&state, 0o700);
    let arguments = ["--state-dir", state.to_str().unwrap()];
    assert_eq!(found(&site, POLICY, &arguments), ["state-unusable"]);
    let told = String::from_utf8(doctor(&site, POLICY, &arguments).stdout).unwrap();
    assert!(
        told.contains("an agent writes them there once SPIRE has answered it"),
        "{told}"
    );
    // Root may write wherever there is a file system that takes files.
    let nowhere = found(&site, POLICY, &["--state-dir", "/proc/sys"]);
    assert!(
        nowhere.contains(&"state-unwritable".to_owned()),
        "{nowhere:?}"
    );
    chmod(&state, 0o777);
    let open = found(&site, POLICY, &arguments);
    assert_eq!(open, ["state-dir-open"], "one fault, one finding");
    chmod(&state, 0o700);
    // Only root can give it away.
    if std::os::unix::fs::chown(&state, Some(1), None).is_ok() {
        let foreign = found(&site, POLICY, &arguments);
        assert_eq!(foreign, ["state-dir-foreign"]);
    }
    let lint = POLICY.replace("xfcc-element \"only\"", "require-mtls #false");
    let lints = found(&site, &lint, &[]);
    assert_eq!(lints, ["anonymous-allowed", "xfcc-last"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_records_tell() {
    let site = Site::new();
    let config = format!("{POLICY}failure {{ enforce #false }}\n");
    let agent = site.live(&config).await;
    let client = agent.connect().await;
    let svid = site.world.svid(FRONTEND).unwrap().xfcc();
    let appended = Request::get("/").header("x-forwarded-client-cert", format!("{svid},{svid}"));
    client.ask(&appended).await.unwrap();
    let options = SvidOptions::at(unix_now()).with_window(Window::from(unix_now() - 5, 5 * 86_400));
    let long = site.world.svid_with(FRONTEND, &options).unwrap();
    client.ask(&common::carrying(&long)).await.unwrap();
    eventually("two records", async || agent.records().len() == 2).await;
    let records = site.path("audit.jsonl");
    let arguments = ["--records", records.to_str().unwrap()];
    let output = doctor(&site, POLICY, &arguments);
    assert_eq!(
        codes(&output),
        ["hop-appends", "svid-long-lived", "unverified-passed"]
    );
    // The mode of the records is not that of the configuration: it was on, and is not.
    let now = doctor(&site, &config, &arguments);
    for (output, says) in [
        (output, "was on when they were decided, and is not in this"),
        (now, "\"fix\":\"enforce #false is on: their reason"),
    ] {
        let found = String::from_utf8(output.stdout).unwrap();
        assert!(found.contains(says), "no {says:?} in {found}");
    }
    agent.stop().await;
    let no_records = site.path("doctor.kdl").to_str().unwrap().to_owned();
    for unread in ["/no/such/file", "/tmp", &no_records] {
        let unread = found(&site, POLICY, &["--records", unread]);
        assert_eq!(unread, ["records-unreadable"]);
    }
    // A file that anybody can have written.
    let text = std::fs::read_to_string(&records).unwrap();
    let mut record: Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    record["cert"]["not_before"] = i64::MIN.into();
    record["cert"]["not_after"] = i64::MAX.into();
    std::fs::write(&records, format!("{record}\n")).unwrap();
    let absurd = found(&site, POLICY, &arguments);
    assert!(absurd.contains(&"svid-long-lived".to_owned()), "{absurd:?}");
}

/// The newest records share one reason: that is the hop, and no caller.
#[tokio::test(flavor = "multi_thread")]
async fn records_that_share_one_reason() {
    let site = Site::new();
    let agent = site.live(POLICY).await;
    let client = agent.connect().await;
    for _ in 0..11 {
        client.ask(&Request::get("/")).await.unwrap();
    }
    eventually("the records", async || agent.records().len() == 11).await;
    let records = site.path("audit.jsonl");
    let arguments = ["--records", records.to_str().unwrap()];
    let output = doctor(&site, POLICY, &arguments);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(codes(&output), ["most-denied"]);
    for part in [
        "11 of the last 11 records are NO_CREDENTIAL",
        "does the hop write X-Forwarded-Client-Cert?",
        "; of the newest: rule `",
    ] {
        assert!(said.contains(part), "{said}");
    }
    // Where only denials are recorded, and where most pass, there is nothing to see.
    let silent = format!("{POLICY}audit {{ log-success #false }}\n");
    assert!(codes(&doctor(&site, &silent, &arguments)).is_empty());
    for _ in 0..11 {
        client.ask(&site.asks(FRONTEND)).await.unwrap();
    }
    eventually("the records", async || agent.records().len() == 22).await;
    assert!(codes(&doctor(&site, POLICY, &arguments)).is_empty());
    agent.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_that_brings_no_policy() {
    let site = Site::new();
    let agent = site
        .serve(site.configured("audit { log-success #true }\n"))
        .await;
    let client = agent.connect().await;
    client.ask(&Request::get("/")).await.unwrap();
    eventually("a record", async || agent.records().len() == 1).await;
    let records = site.path("audit.jsonl");
    let codes = codes(&doctor(
        &site,
        POLICY,
        &["--records", records.to_str().unwrap()],
    ));
    assert_eq!(codes, ["no-policy-delivered"]);
    agent.stop().await;
}

fn chmod(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}
