import pytest

from xmft.errors import RequestError
from xmft.registry import Registry, nearest


@pytest.fixture
def fruits() -> Registry[int]:
    registry: Registry[int] = Registry("fruit")
    registry.add("apple", 1)
    registry.register("banana")(2)
    return registry


def test_it_is_a_mapping_in_order_of_registration(fruits: Registry[int]) -> None:
    assert dict(fruits) == {"apple": 1, "banana": 2}
    assert list(fruits) == ["apple", "banana"] and len(fruits) == 2
    assert "apple" in fruits and "cherry" not in fruits


def test_a_misspelt_name_gets_the_nearest_and_all_names(fruits: Registry[int]) -> None:
    with pytest.raises(RequestError) as caught:
        fruits["bananna"]
    message = str(caught.value)
    assert message == "Unknown fruit 'bananna'. Did you mean 'banana'? Known: apple, banana."


def test_a_name_like_no_other_gets_no_guess(fruits: Registry[int]) -> None:
    with pytest.raises(RequestError, match=r"^Unknown fruit 'xyz'\. Known: apple, banana\.$"):
        fruits["xyz"]
    assert nearest("xyz", []) == "Known: none."


def test_a_taken_name_is_refused_and_keeps_its_entry(fruits: Registry[int]) -> None:
    with pytest.raises(ValueError, match="fruit 'apple' is registered twice"):
        fruits.add("apple", 3)
    assert fruits["apple"] == 1


def test_the_decorator_returns_what_it_decorates() -> None:
    registry: Registry[type] = Registry("kind")

    @registry.register("one")
    class One:
        pass

    assert registry["one"] is One and One.__name__ == "One"
