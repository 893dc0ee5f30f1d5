//! Flag, environment, file, push, default: who wins, for every setting that has several sources.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use config::{DoorSecurity, FileConfig, Override, Overrides, Settings, Source, TrustedProxy};

const FILE: &str = r#"
spire { socket "/file/spire" }
agent {
    socket "/file/agent"
    grpc-address "127.0.0.1:3"
    state-dir "/file/state"
    trusted-proxies "uid:3"
    socket-group "file"
    insecure-plaintext #true
    admin-address "127.0.0.1:6"
}
"#;

/// The value and source of one setting, as texts.
fn in_force(settings: &Settings, which: Override) -> (String, String) {
    let agent = settings.agent();
    let pair = |value: String, source: Source| (value, source.to_string());
    match which {
        Override::Socket => pair(agent.socket.value.to_string(), agent.socket.source),
        Override::GrpcAddress => agent.grpc.as_ref().map_or_else(none, |door| {
            pair(door.address.value.to_string(), door.address.source)
        }),
        Override::SpireSocket | Override::EndpointSocket => {
            let socket = settings.spire_socket();
            pair(socket.value.to_string(), socket.source)
        }
        Override::AdminAddress => pair(agent.admin.value.to_string(), agent.admin.source),
        Override::Verbose => pair(agent.verbose.value.to_string(), agent.verbose.source),
        Override::StateDir => agent.state_dir.as_ref().map_or_else(none, |dir| {
            pair(dir.value.display().to_string(), dir.source)
        }),
        Override::SocketGroup => agent
            .socket_group
            .as_ref()
            .map_or_else(none, |group| pair(group.value.clone(), group.source)),
        Override::TrustedProxies | Override::InsecurePlaintext => none(),
    }
}

fn none() -> (String, String) {
    (String::new(), "none".to_owned())
}

fn resolve(file: bool, flags: &[(Override, &str)], variables: &[(&str, &str)]) -> Settings {
    let file = file.then(|| FileConfig::parse("f", FILE).unwrap());
    let variable = |name: &str| {
        let found = variables.iter().find(|(given, _)| *given == name);
        found.map(|(_, value)| (*value).to_owned())
    };
    let mut overrides = Overrides::from_variables(variable);
    for (which, value) in flags {
        overrides = overrides.with_flag(*which, *value);
    }
    Settings::resolve(file, &overrides).unwrap()
}

#[test]
fn flag_before_environment_before_file_before_default() {
    use Override as O;
    for (which, flag, variable, file, default) in [
        (
            O::Socket,
            "/flag",
            "/env",
            ("/file/agent", "file"),
            ("/tmp/sentinel-spiffe.sock", "default"),
        ),
        (
            O::GrpcAddress,
            "127.0.0.1:1",
            "127.0.0.1:2",
            ("127.0.0.1:3", "file"),
            ("", "none"),
        ),
        (
            O::AdminAddress,
            "none",
            "127.0.0.1:5",
            ("127.0.0.1:6", "file"),
            ("127.0.0.1:9902", "default"),
        ),
        (
            O::SpireSocket,
            "/flag",
            "unix:///env",
            ("/file/spire", "file"),
            ("/run/spire/sockets/agent.sock", "default"),
        ),
        (
            O::Verbose,
            "true",
            "yes",
            ("false", "default"),
            ("false", "default"),
        ),
        (
            O::StateDir,
            "/flag",
            "/env",
            ("/file/state", "file"),
            ("", "none"),
        ),
        (
            O::SocketGroup,
            "flag",
            "env",
            ("file", "file"),
            ("", "none"),
        ),
    ] {
        let name = which.variable();
        let written = |text: &str| match text {
            "yes" => "true".to_owned(),
            text => text.strip_prefix("unix://").unwrap_or(text).to_owned(),
        };
        let owned = |(value, source): (&str, &str)| (value.to_owned(), source.to_owned());
        for in_file in [false, true] {
            let below = if in_file { file } else { default };
            let both = resolve(in_file, &[(which, flag)], &[(name, variable)]);
            let by_flag = (written(flag), which.flag().unwrap().to_owned());
            assert_eq!(in_force(&both, which), by_flag);
            let environment = resolve(in_file, &[], &[(name, variable)]);
            let by_variable = (written(variable), name.to_owned());
            assert_eq!(in_force(&environment, which), by_variable);
            let neither = resolve(in_file, &[], &[]);
            assert_eq!(in_force(&neither, which), owned(below));
            // An empty variable is as good as none.
            let empty = resolve(in_file, &[], &[(name, "")]);
            assert_eq!(in_force(&empty, which), owned(below));
        }
    }
}

/// As if it were not there, everybody would be trusted whom the socket's mode admits.
#[test]
fn an_empty_list_of_trusted_proxies_is_refused() {
    let empty = Overrides::from_variables(|name| (name == "TRUSTED_PROXIES").then_some(""));
    let refused = Settings::resolve(None, &empty).unwrap_err();
    let told: Vec<String> = refused.lines().collect();
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(
        told[0].starts_with("TRUSTED_PROXIES: `trusted-proxies`: it is empty")
            && told[0].contains("unset or left out"),
        "{told:?}"
    );
}

#[test]
fn the_endpoint_variable_stands_behind_the_file() {
    let endpoint = ("SPIFFE_ENDPOINT_SOCKET", "unix:///endpoint");
    let agent = ("SPIRE_AGENT_SOCKET", "/agent");
    for (file, variables, expected) in [
        (false, vec![endpoint], "/endpoint"),
        (true, vec![endpoint], "/file/spire"),
        (true, vec![endpoint, agent], "/agent"),
        (false, vec![endpoint, agent], "/agent"),
    ] {
        let settings = resolve(file, &[], &variables);
        assert_eq!(settings.spire_socket().value.to_string(), expected);
    }
}

#[test]
fn proxies_come_from_one_source_whole() {
    let accounts = |settings: Settings| settings.agent().trusted_accounts.clone();
    let flag = [(Override::TrustedProxies, "uid:1, gid:1")];
    let variable = [("TRUSTED_PROXIES", "uid:2")];
    let uid = TrustedProxy::Uid;
    assert_eq!(
        accounts(resolve(true, &flag, &variable)),
        [uid(1), TrustedProxy::Gid(1)]
    );
    assert_eq!(accounts(resolve(true, &[], &variable)), [uid(2)]);
    assert_eq!(accounts(resolve(true, &[], &[])), [uid(3)]);
    assert_eq!(accounts(resolve(false, &[], &[])), []);
}

#[test]
fn a_tcp_door_is_as_safe_as_it_is_told_to_be() {
    let wide = (Override::GrpcAddress, "0.0.0.0:1");
    let local = (Override::GrpcAddress, "[::ffff:127.0.0.1]:1");
    let proxy = (Override::TrustedProxies, "spiffe://example.org/proxy");
    let insists = (Override::InsecurePlaintext, "1");
    let refrains = (Override::InsecurePlaintext, "no");
    let security = |settings: Settings| settings.agent().grpc.clone().unwrap().security;
    assert_eq!(
        security(resolve(false, &[local], &[])),
        DoorSecurity::PlaintextLoopback
    );
    assert_eq!(
        security(resolve(false, &[wide, insists], &[])),
        DoorSecurity::PlaintextInsecure
    );
    assert_eq!(
        security(resolve(true, &[wide], &[])),
        DoorSecurity::PlaintextInsecure
    );
    for door in [wide, local] {
        let settings = resolve(true, &[door, proxy, insists], &[]);
        assert!(matches!(security(settings), DoorSecurity::MutualTls(_)));
    }
    // The flag takes back what the file insists on.
    let overrides = Overrides::default()
        .with_flag(wide.0, wide.1)
        .with_flag(refrains.0, refrains.1);
    let file = FileConfig::parse("f", FILE).unwrap();
    assert!(Settings::resolve(Some(file), &overrides).is_err());
}

#[test]
fn systemd_may_give_several_state_directories() {
    let settings = resolve(false, &[], &[("STATE_DIRECTORY", "/var/lib/a:/var/lib/b")]);
    let state = settings.agent().state_dir.clone().unwrap();
    assert_eq!(state.value.display().to_string(), "/var/lib/a");
    assert_eq!(state.source, Source::Variable("STATE_DIRECTORY"));
}
