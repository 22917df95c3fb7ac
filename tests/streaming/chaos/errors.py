"""What may go wrong with a campaign itself."""


class CampaignError(Exception):
    """The campaign could not be done as asked."""
