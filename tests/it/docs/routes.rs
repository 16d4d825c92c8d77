//! docs/reference/routes.md is generated from src/openapi/openapi.json.

use super::page;

#[test]
fn the_page_of_routes_is_what_the_description_says() {
    let expected = fieldstation::openapi::reference_page().unwrap();
    page::assert_is("docs/reference/routes.md", &expected);
}
