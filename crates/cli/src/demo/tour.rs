//! What to type next, in each role.

use super::world::World;
use crate::commands::Context;
use crate::trouble::Trouble;

/// Prints the tour.
pub(crate) fn print(c: &Context, world: &World) -> Result<(), Trouble> {
    let home = |person: &str| world.home(person).display().to_string();
    let lines = [
        String::new(),
        "Everything runs. Open three more terminals on this machine.".to_owned(),
        String::new(),
        "1. Bob, a contractor, wants to fix an order:".to_owned(),
        format!("     export DAYPASS_HOME={}", home("bob")),
        "     daypass connect prod-orders".to_owned(),
        String::new(),
        "2. Alice, his sponsor and lead, sees it and approves:".to_owned(),
        format!("     export DAYPASS_HOME={}", home("alice")),
        "     daypass requests".to_owned(),
        "     daypass approve R-1        # Bob tries the same in vain".to_owned(),
        "     daypass sessions --live".to_owned(),
        String::new(),
        "3. Bob's psql has opened. He forgets a WHERE, and waits:".to_owned(),
        "     update orders set status = 'shipped';".to_owned(),
        "   Alice, who sees what it would touch:".to_owned(),
        "     daypass hold list".to_owned(),
        "     daypass hold release H     # or: daypass hold refuse H, or: daypass kill S".to_owned(),
        String::new(),
        "4. Carol is on call and gets in without waiting:".to_owned(),
        format!("     export DAYPASS_HOME={}", home("carol")),
        "     daypass connect prod-orders --reason \"page: checkout is slow\" --for 15m".to_owned(),
        String::new(),
        "5. Ada, the auditor, trusts nobody:".to_owned(),
        format!("     export DAYPASS_HOME={}", home("ada")),
        "     daypass log search --person bob".to_owned(),
        "     daypass who-had-access prod-orders".to_owned(),
        format!("     daypass verify {}", world.url()),
        "     daypass evidence grant G-1 --output g1.zip && daypass verify g1.zip --policy".to_owned(),
        format!("   and after one byte of {} was changed, again:", world.data().display()),
        format!("     daypass verify {} --policy", world.data().display()),
        String::new(),
        "When a code of a second factor is asked for: daypass demo code alice   (bob, carol, ada)".to_owned(),
        "Passwords, should you log in again, are in the file `password` of each of these folders.".to_owned(),
        "Ctrl-C ends everything and removes the folder.".to_owned(),
    ];
    lines.iter().try_for_each(|line| c.out.line(line))
}
