"""Between a component and a team's interpreter: users, cgroups, limits. In the component's interpreter."""
