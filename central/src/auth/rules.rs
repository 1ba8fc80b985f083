//! What follows from roles and times alone: pure.

use crate::access::{Permission, Permissions, Role};

/// The roles that count in a session: everybody is a customer, and a role that needs a second
/// factor waits until one was proved.
pub fn roles_in_force(held: &[Role], super_admin: bool, second_factor: bool) -> Vec<Role> {
    let mut roles = vec![Role::Customer];
    roles.extend(held.iter().copied().filter(|r| *r != Role::Customer));
    if super_admin {
        roles.push(Role::SuperAdmin);
    }
    roles.retain(|r| second_factor || !r.needs_second_factor());
    roles.sort_unstable();
    roles.dedup();
    roles
}

/// Whether a role is held that counts only with a second factor.
pub fn wants_second_factor(held: &[Role], super_admin: bool) -> bool {
    super_admin || held.iter().any(|r| r.needs_second_factor())
}

/// What the holder of these roles may do in the company.
pub fn permissions_of(roles: &[Role]) -> Permissions {
    roles
        .iter()
        .fold(Permissions::NONE, |all, role| all.with(role.permissions()))
}

/// The first permission of `wanted` that `own` lacks: nobody gives or takes more than they have.
pub fn beyond(own: Permissions, wanted: Permissions) -> Option<Permission> {
    wanted.iter().find(|p| !own.has(*p))
}

/// Roles as words, for the database and for tokens.
pub fn words(roles: &[Role]) -> Vec<String> {
    roles.iter().map(|r| r.as_str().to_owned()).collect()
}

/// Roles from words; words that this version does not know count for nothing.
pub fn roles_of(words: &[String]) -> Vec<Role> {
    words.iter().filter_map(|w| w.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_that_needs_a_second_factor_waits_for_it() {
        let held = [Role::Agent, Role::CompanyAdmin];
        assert_eq!(
            roles_in_force(&held, true, false),
            [Role::Customer, Role::Agent]
        );
        assert_eq!(
            roles_in_force(&held, true, true),
            [
                Role::Customer,
                Role::Agent,
                Role::CompanyAdmin,
                Role::SuperAdmin
            ]
        );
        assert!(wants_second_factor(&held, false));
        assert!(wants_second_factor(&[], true));
        assert!(!wants_second_factor(&[Role::Clerk], false));
    }

    #[test]
    fn nobody_gives_more_than_they_have() {
        for giver in Role::ALL {
            for given in Role::ALL {
                let (own, wanted) = (giver.permissions(), given.permissions());
                let covered = wanted.iter().all(|p| own.has(p));
                assert_eq!(
                    beyond(own, wanted).is_none(),
                    covered,
                    "{giver:?} {given:?}"
                );
            }
        }
        let admin = Role::CompanyAdmin.permissions();
        let hub = beyond(admin, Role::SuperAdmin.permissions());
        assert_eq!(hub, Some(Permission::Hub));
    }
}
