"""A Django project with long-lived responses, as users of bridge write it."""
