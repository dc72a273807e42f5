"""`kasbah agent token …`: the tokens agentk connects with."""

from __future__ import annotations

from kasbah.cli.commands import noun
from kasbah.cli.lookup import agent_path, find_agent
from kasbah.cli.parameters import AgentName, Here, InProject, Output, TokenFileOut, Yes
from kasbah.cli.resources import AgentToken
from kasbah.cli.secret_file import SecretFile
from kasbah.cli.terminal import Column, text_of

_COLUMNS = [
    Column(title="ID", render=text_of("id")),
    Column(title="NAME", render=text_of("name")),
    Column(title="STATUS", render=text_of("status")),
    Column(title="CREATED", render=text_of("created_at")),
    Column(title="DESCRIPTION", render=text_of("description")),
]


def create(
    agent: AgentName,
    *,
    project: InProject,
    name: str = "kasbah",
    description: str = "",
    token_file_out: TokenFileOut = None,
    output: Output = "table",
    here: Here,
) -> None:
    """Create a token for an agent; it is shown once. To rotate: create the second, deploy it, revoke the first.

    Args:
        name: What the token is called.
        description: A line for people.
    """
    with SecretFile(token_file_out) as file, here.connect() as api:
        found = find_agent(api, project, agent)
        body = {"name": name, **({"description": description} if description else {})}
        created = file.take(api.post(f"{agent_path(found)}/tokens", AgentToken, body))
    if output != "table":
        here.show(created, output, _COLUMNS)
    elif token_file_out is None:
        here.say(created["token"])
        here.hint("This is the only time the token is shown.")


def list_(agent: AgentName, *, project: InProject, output: Output = "table", here: Here) -> None:
    """List an agent's active tokens."""
    with here.connect() as api:
        tokens = list(api.iterate(f"{agent_path(find_agent(api, project, agent))}/tokens", AgentToken))
    here.show(tokens, output, _COLUMNS)


def revoke(agent: AgentName, token_id: int, *, project: InProject, yes: Yes = False, here: Here) -> None:
    """Revoke an agent's token: an agentk connected with it is cut within ten seconds.

    Args:
        token_id: The token's id, from `kasbah agent token list`.
    """
    with here.connect() as api:
        found = find_agent(api, project, agent)
        here.confirm(f"revoke the token {token_id} of the agent {found['name']}", yes=yes)
        api.delete(f"{agent_path(found)}/tokens/{token_id}")
    here.hint(f"Revoked the token {token_id} of the agent {found['name']}.")


app = noun.build("token", create, list_, revoke)
app.help = "Tokens that agentk connects with: at most two active ones."
