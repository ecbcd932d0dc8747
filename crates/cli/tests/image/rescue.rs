//! The rescue shell, on the console of a device in an emulator: what is typed there is done, and then it boots.

use super::*;

#[test]
fn a_rescue_shell_answers_and_then_the_device_boots() {
    if named("TUTTI_IMAGE_FIRMWARE").is_none() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let changes = [
        ("image = \"15 MiB\"", "image = \"64 MiB\""),
        ("[network]\n", "[console]\nrescue = true\n\n[network]\n"),
        ("[system]\ndevice = \"/dev/vda\"\n", ""),
    ];
    let image = built(&product("gateway", folder.path(), &changes));
    let studio = Plan::new(folder.path(), "studio").start();
    let mut booted = Booted::typed(&studio, &image, &["--ram", "256 MiB", "--join", "--append", "tutti.rescue"]);
    eventually(BOOT, "the shell is opened", || booted.said().contains("tutti.rescue: /bin/busybox"));
    // What is typed is echoed; so what is awaited is never what was typed.
    booted.types("echo $((6 * 7)) $(cat /proc/sys/kernel/ostype)\n");
    let answered = eventually(S(60), "it answers", || booted.said().contains("42 Linux"));
    booted.types("echo asleep $((20 + 3)); sleep 10000\n");
    eventually(S(60), "it sleeps", || booted.said().contains("asleep 23"));
    std::thread::sleep(S(1));
    booted.types("\x03");
    booted.types("echo awake $((30 + 4))\n");
    eventually(S(60), "Ctrl-C ends what runs in it", || booted.said().contains("awake 34"));
    assert!(booted.seconds("the node is ready,").is_none(), "nothing is started before it is left");
    booted.types("exit\n");
    let joined = eventually(BOOT, "it joins the pool", || studio.sees(&["gateway"]));
    println!(
        "\nok rescue: a shell on the console of a gateway in QEMU answered in {answered:.1?}, Ctrl-C ended what ran in it, and \
         {joined:.0?} after it was left the device was in the pool"
    );
    booted.end();
}
