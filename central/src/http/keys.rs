//! The public keys that tickets are checked with: public.

use axum::Json;
use axum::extract::State;

use super::Api;
use super::problem::Problem;
use crate::views::{self, KeyView};

/// The hub's key and every node's, of all companies.
#[utoipa::path(get, path = "/keys", tag = "keys",
    responses((status = 200, body = Vec<KeyView>), (status = "default", body = Problem)))]
pub async fn list(State(api): State<Api>) -> Result<Json<Vec<KeyView>>, Problem> {
    let mut keys: Vec<KeyView> = KeyView::of(&api.keys.record()).into_iter().collect();
    for company in views::all_companies(&api.db).await? {
        let mut tx = api.db.tenant(company).await?;
        keys.extend(views::keys(&mut tx).await?);
    }
    Ok(Json(keys))
}
