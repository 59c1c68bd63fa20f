import pytest

from app.callers import Caller
from app.errors import Forbidden
from app.parameters import InGallery, QueryParameters
from index.keys import Scope

ANYONE = Caller()
BOUND = Caller("a" * 12, frozenset({Scope.QUERY}), "own")


@pytest.mark.parametrize("scope", Scope)
@pytest.mark.parametrize("held", Scope)
def test_admin_includes_the_others_and_they_do_not_include_each_other(scope: Scope, held: Scope) -> None:
    caller = Caller("a" * 12, frozenset({held}))
    if held in (scope, Scope.ADMIN):
        caller.require(scope)
    else:
        with pytest.raises(Forbidden, match=f"expected a key with the scope {scope}, found one with {held}"):
            caller.require(scope)


def test_anyone_may_do_all() -> None:
    for scope in Scope:
        ANYONE.require(scope)
    ANYONE.require_unbound()
    ANYONE.require_gallery("other")
    assert ANYONE.within(InGallery()).gallery == "default"
    assert ANYONE.fields_within([("identity", "anna")]) == (("identity", "anna"),)


def test_a_bound_key_goes_to_its_own_gallery() -> None:
    assert BOUND.within(InGallery()).gallery == "own"
    assert BOUND.within(InGallery(gallery="own")).gallery == "own"
    assert BOUND.within(QueryParameters(top_k=3)) == QueryParameters(top_k=3, gallery="own")
    assert BOUND.fields_within([("camera", "c")]) == (("camera", "c"), ("gallery", "own"))
    assert BOUND.fields_within([("gallery", "own")]) == (("gallery", "own"),)


def test_a_bound_key_reaches_no_other() -> None:
    with pytest.raises(Forbidden, match="bound to no gallery"):
        BOUND.require_unbound()
    for other in ("other", "default", "OWN", ""):
        with pytest.raises(Forbidden, match="expected gallery 'own', which the key is bound to"):
            BOUND.fields_within([("gallery", "own"), ("gallery", other)])
    with pytest.raises(Forbidden, match="found 'default'"):  # named, although it is what is meant without
        BOUND.within(InGallery(gallery="default"))
