"""Names of tensors and statistics: the only place that knows how they are spelled."""

import pytest

from tensorshark.traces import sites
from tensorshark.traces.errors import UsageError


def test_every_site_has_a_name_at_a_layer_that_parses_back() -> None:
    for site in sites.SITES.values():
        assert sites.parse(site.at(0)) == (site, 0)
        assert sites.parse(site.at(117)) == (site, 117)


@pytest.mark.parametrize(
    "name",
    ["", "blocks.3", "blocks.03.hook_resid_post", "blocks.-1.hook_mlp_out", "blocks.99999.hook_mlp_out",
     "blocks.1.hook_resid_post\n", "../blocks.1.hook_resid_post", "blocks.1.hook_nothing",
     "blocks.１.hook_mlp_out"],
)  # fmt: skip
def test_any_other_name_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match=r"blocks\.0\.hook_resid_post"):
        sites.parse(name)


def test_order_is_layers_outer_and_sites_as_they_happen() -> None:
    names = [
        sites.SITES[site].at(layer) for layer in (10, 2) for site in ("resid_post", "resid_pre", "mlp_out")
    ]
    assert sorted(names, key=sites.order) == [
        "blocks.2.hook_resid_pre",
        "blocks.2.hook_mlp_out",
        "blocks.2.hook_resid_post",
        "blocks.10.hook_resid_pre",
        "blocks.10.hook_mlp_out",
        "blocks.10.hook_resid_post",
    ]


def test_fields_put_the_site_first_and_files_the_statistic() -> None:
    assert sites.stat_key("resid_post.norm") == "norm.resid_post"
    assert sites.stat_key("attn_out.absmax") == "absmax.attn_out"
    assert sites.stat_key("attn.entropy_rest") == "attn.entropy_rest"
    assert sites.stat_key("norm.resid_post") is None
    assert sites.stat_key("label.category") is None
    assert sites.STAT_FIELDS["resid_pre.norm"] == ("layer", "pos")
    assert sites.STAT_FIELDS["attn.sink"] == ("layer", "head", "pos")
    assert len(sites.STAT_FIELDS) == 4 * 2 + 3


def test_a_statistic_knows_whose_layers_it_counts() -> None:
    assert sites.stat_site("norm.resid_post") == "resid_post"
    assert sites.stat_site("attn.entropy") == "attn"
