//! What a script's file survives, and that the scripts are ones Node accepts.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Placed, Places, Script};

const SCRIPT: Script = Script::Worker;

fn placed_in(folder: &Path) -> Placed {
    Placed::place(SCRIPT, Places::only(vec![folder.to_path_buf()])).unwrap()
}

fn path_of(placed: &mut Placed) -> PathBuf {
    placed.ensure().unwrap().to_path_buf()
}

fn allow(folder: &Path, mode: u32) {
    fs::set_permissions(folder, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn the_script_is_written_once_and_found_again() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("luster");
    let first = path_of(&mut placed_in(&folder));
    let written = fs::metadata(&first).unwrap().modified().unwrap();

    let second = path_of(&mut placed_in(&folder));

    assert_eq!(first, second);
    assert_eq!(fs::read_to_string(&second).unwrap(), SCRIPT.text());
    assert_eq!(fs::metadata(&second).unwrap().modified().unwrap(), written);
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 1, "nothing else is left behind");
}

#[test]
fn a_script_deleted_or_changed_is_put_back_before_the_next_spawn() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("luster");
    let mut placed = placed_in(&folder);
    let path = path_of(&mut placed);

    fs::remove_dir_all(&folder).unwrap();
    assert_eq!(fs::read_to_string(placed.ensure().unwrap()).unwrap(), SCRIPT.text());

    fs::write(&path, "process.exit(13)").unwrap();
    assert_eq!(fs::read_to_string(placed.ensure().unwrap()).unwrap(), SCRIPT.text());
}

#[test]
fn a_wrong_file_of_the_right_name_is_replaced_not_followed() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("luster");
    let path = path_of(&mut placed_in(&folder));
    let victim = root.path().join("victim");
    fs::write(&victim, "mine").unwrap();
    fs::remove_file(&path).unwrap();
    symlink(&victim, &path).unwrap();

    placed_in(&folder);

    assert_eq!(fs::read_to_string(&victim).unwrap(), "mine");
    assert!(fs::symlink_metadata(&path).unwrap().is_file());
}

#[test]
fn a_folder_that_others_control_is_passed_over_for_the_next() {
    let root = tempfile::tempdir().unwrap();
    let open = root.path().join("open");
    fs::create_dir(&open).unwrap();
    allow(&open, 0o777);
    let link = root.path().join("link");
    symlink(root.path(), &link).unwrap();
    let good = root.path().join("good");

    let mut placed = Placed::place(SCRIPT, Places::only(vec![open, link, good.clone()])).unwrap();

    assert!(path_of(&mut placed).starts_with(good));
}

#[test]
fn when_no_folder_will_do_each_is_named_with_its_reason() {
    let root = tempfile::tempdir().unwrap();
    let open = root.path().join("open");
    fs::create_dir(&open).unwrap();
    allow(&open, 0o777);
    let absent = root.path().join("no/such");

    let error =
        Placed::place(SCRIPT, Places::only(vec![open.clone(), absent.clone()])).unwrap_err().to_string();

    assert!(error.contains(&format!("{}: others may write to it", open.display())), "{error}");
    assert!(error.contains(&format!("{}: No such file", absent.display())), "{error}");
}

#[test]
fn node_accepts_the_scripts() {
    for script in [Script::Worker, Script::Host] {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("luster");
        let path = path_of(&mut Placed::place(script, Places::only(vec![folder])).unwrap());
        let checked = Command::new("node").arg("--check").arg(path).output().unwrap();
        assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
    }
}

#[test]
fn the_javascript_tests_use_the_same_scripts() {
    let bundle = Path::new(env!("CARGO_MANIFEST_DIR")).join("npm/test/bundle.js");
    for (name, script) in [("worker", Script::Worker), ("host", Script::Host)] {
        let printed = Command::new("node").arg(&bundle).arg(name).output().unwrap();
        assert_eq!(String::from_utf8(printed.stdout).unwrap(), script.text());
    }
}
