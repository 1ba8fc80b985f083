//! The routes of one row that people edit: show, create, replace, remove.

/// Writes them for one kind of row; the module's own `rows` does what they say. The list of the
/// rows has filters of its own, so each module writes that one itself.
macro_rules! one_row_routes {
    (
        $tag:tt, $scope:tt, $all:tt, $one:tt, $key:tt, $row:ident, [$($shown:tt)+],
        show: $show:tt $show_doc:tt,
        create: $create:tt $create_doc:tt,
        replace: $replace:tt $replace_doc:tt,
        remove: $remove:tt $remove_doc:tt, needed: $needed:tt $(,)?
    ) => {
        #[doc = $show_doc]
        #[utoipa::path(get, path = $one, operation_id = $show, tag = $tag,
            params(($key = String, Path)), security(("bearer" = ["company:read"])),
            responses((status = 200, body = $($shown)+, headers(("ETag" = String, description = "Its version."))),
                (status = 404, body = Problem), (status = "default", body = Problem)))]
        pub async fn show(
            State(api): State<Api>,
            caller: Caller,
            Named(key): Named<String>,
        ) -> Result<Tagged<$($shown)+>, Problem> {
            rows::show(&api, caller, &key).await
        }

        #[doc = $create_doc]
        #[utoipa::path(post, path = $all, operation_id = $create, tag = $tag,
            request_body = $row, security(("bearer" = [$scope])),
            responses((status = 201, body = $($shown)+, headers(("ETag" = String, description = "Its version."))),
                (status = 409, body = Problem, description = "It is there already."),
                (status = 422, body = Problem, description = "A member is wrong."),
                (status = "default", body = Problem)))]
        pub async fn create(
            State(api): State<Api>,
            caller: Caller,
            body: Body<$row>,
        ) -> Result<Tagged<$($shown)+>, Problem> {
            rows::create(&api, caller, body.value).await
        }

        #[doc = $replace_doc]
        #[utoipa::path(put, path = $one, operation_id = $replace, tag = $tag,
            params(($key = String, Path),
                ("If-Match" = String, Header, description = "The `ETag` read.")),
            request_body = $row, security(("bearer" = [$scope])),
            responses((status = 200, body = $($shown)+, headers(("ETag" = String, description = "Its version."))),
                (status = 404, body = Problem),
                (status = 412, body = Problem, description = "Changed since it was read."),
                (status = 422, body = Problem, description = "A member is wrong."),
                (status = 428, body = Problem, description = "`If-Match` is missing."),
                (status = "default", body = Problem)))]
        pub async fn replace(
            State(api): State<Api>,
            caller: Caller,
            Named(key): Named<String>,
            if_match: IfMatch,
            body: Body<$row>,
        ) -> Result<Tagged<$($shown)+>, Problem> {
            rows::replace(&api, caller, &key, &if_match, body.value).await
        }

        #[doc = $remove_doc]
        #[utoipa::path(delete, path = $one, operation_id = $remove, tag = $tag,
            params(($key = String, Path),
                ("If-Match" = String, Header, description = "The `ETag` read.")),
            security(("bearer" = [$scope])),
            responses((status = 204, description = "It is gone."), (status = 404, body = Problem),
                (status = 409, body = Problem, description = $needed),
                (status = 412, body = Problem, description = "Changed since it was read."),
                (status = 428, body = Problem, description = "`If-Match` is missing."),
                (status = "default", body = Problem)))]
        pub async fn remove(
            State(api): State<Api>,
            caller: Caller,
            Named(key): Named<String>,
            if_match: IfMatch,
        ) -> Result<StatusCode, Problem> {
            rows::remove::<$row>(&api, caller, &key, &if_match).await
        }
    };
}

pub(crate) use one_row_routes;
