//! What each command says of itself.

use clap::CommandFactory;

use super::Host;
use crate::args::Cli;

#[test]
fn every_command_explains_itself() {
    let mut command = Cli::command().term_width(100);
    command.build();
    insta::assert_snapshot!("help_tutti", command.render_help());
    let names: Vec<_> = command.get_subcommands().map(|one| one.get_name().to_owned()).collect();
    for name in names.iter().filter(|name| *name != "help") {
        let help = command.find_subcommand_mut(name).unwrap().render_help();
        insta::assert_snapshot!(format!("help_{name}"), help);
    }
}

#[tokio::test]
async fn wrong_use_is_exit_code_2() {
    let host = Host::empty();
    for line in ["", "dance", "read", "read kitchen", "set kitchen/lamp", "up --api-tcp 0.0.0.0:80", "demo --json"] {
        let shown = host.tutti(line).await;
        assert!(shown.ends_with("[exit 2]"), "{line}: {shown}");
    }
}

#[tokio::test]
async fn completions_and_the_description_need_no_device() {
    let host = Host::empty();
    for shell in ["bash", "zsh", "fish"] {
        let shown = host.tutti(&format!("completions {shell}")).await;
        assert!(shown.contains("recovery") && shown.contains("split") && shown.ends_with("[exit 0]"));
    }
    let shown = host.tutti("api").await;
    let document: serde_json::Value = serde_json::from_str(shown.trim_end_matches("[exit 0]")).unwrap();
    assert_eq!(document["info"]["title"], "Tutti control API");
}

#[tokio::test]
async fn manual_pages_are_written() {
    let host = Host::empty();
    let folder = tempfile::tempdir().unwrap();
    let shown = host.tutti(&format!("man {}", folder.path().join("man1").display())).await;
    assert!(shown.ends_with("[exit 0]"), "{shown}");
    let page = std::fs::read_to_string(folder.path().join("man1/tutti-pair.1")).unwrap();
    assert!(page.contains("ticket"));
    let page = std::fs::read_to_string(folder.path().join("man1/tutti-dt-split.1")).unwrap();
    assert!(page.contains("NAME.overlay for Zephyr"));
}
