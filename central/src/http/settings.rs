//! The routes of a company's settings of one kind: show them, change them.

/// Writes them for one kind; the module's own `db` reads and writes the row, its own `checked`
/// judges what is asked for. The company's row is locked for a row that may not be there yet.
macro_rules! settings_routes {
    (
        $tag:tt, $path:tt, $settings:ident, $action:tt,
        show: $show:tt $show_doc:tt,
        change: $change:tt $change_doc:tt $(,)?
    ) => {
        #[doc = $show_doc]
        #[utoipa::path(get, path = $path, operation_id = $show, tag = $tag,
            security(("bearer" = ["company:read"])),
            responses((status = 200, body = $settings, headers(("ETag" = String, description = "Their version."))),
                (status = "default", body = Problem)))]
        pub async fn show(
            State(api): State<Api>,
            caller: Caller,
        ) -> Result<Tagged<$settings>, Problem> {
            let staff = caller.may(Permission::CompanyRead)?;
            let mut tx = api.db.tenant(staff.company).await?;
            let (version, settings) = db::settings(&mut tx).await?;
            Ok(Tagged::ok(version, settings))
        }

        #[doc = $change_doc]
        #[utoipa::path(put, path = $path, operation_id = $change, tag = $tag,
            params(("If-Match" = String, Header, description = "The `ETag` read.")),
            request_body = $settings, security(("bearer" = ["company:write"])),
            responses((status = 200, body = $settings, headers(("ETag" = String, description = "Their version."))),
                (status = 412, body = Problem, description = "Changed since they were read."),
                (status = 422, body = Problem, description = "A member is wrong."),
                (status = 428, body = Problem, description = "`If-Match` is missing."),
                (status = "default", body = Problem)))]
        pub async fn change(
            State(api): State<Api>,
            caller: Caller,
            if_match: IfMatch,
            body: Body<$settings>,
        ) -> Result<Tagged<$settings>, Problem> {
            let staff = caller.may(Permission::CompanyWrite)?;
            let settings = checked(body.value)?;
            let mut tx = api.db.tenant(staff.company).await?;
            crate::company::lock_settings(&mut tx).await?;
            let (version, before) = db::settings(&mut tx).await?;
            if_match.check(version)?;
            let version = db::put_settings(&mut tx, &settings).await?;
            let change = crate::audit::Change {
                action: $action,
                subject: $tag,
                before: Some(serde_json::json!(before)),
                after: Some(serde_json::json!(settings)),
            };
            let now = crate::clock::now();
            crate::audit::note(&mut tx, staff.identity, change, now).await?;
            tx.commit().await?;
            Ok(Tagged::ok(version, settings))
        }
    };
}

pub(crate) use settings_routes;
