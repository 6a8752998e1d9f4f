"""Singer tap for the raw data that Azure Mobile Engagement exports."""
